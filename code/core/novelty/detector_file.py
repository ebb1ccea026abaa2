"""detector.safetensors, and the detector of an experiment that it restores."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from core.data.images import ImageFormat
from core.errors import InputError
from core.experiments.finding import find_experiment
from core.experiments.reading import Experiment, read_any
from core.experiments.schema import NOVELTY
from core.files.resizing import ResizeMode, size_rule
from core.files.writing import replacing
from core.machine.device import choose_device, keep_freed_memory
from core.novelty.detectors import Detector, get_registry
from core.novelty.score import Box, ScoredDetector, hottest_box
from core.novelty.settings import ScoringSettings
from core.predicting.building import no_larger_than
from core.predicting.signature import BitDepth, ImageSize
from core.validation import Settings, validate

DETECTOR_FILE = "detector.safetensors"
DETECTOR_VERSION = "1"
"""Raise it whenever a detector computes other scores from the same tensors."""

Scored = tuple[float, np.ndarray]
"""The score of a strip and its smoothed map (rows, columns)."""


def save_detector(folder: Path, detector: Detector, name: str) -> None:
    """Write all that the detector has learned."""
    tensors = {key: value.cpu().contiguous() for key, value in detector.state_dict().items()}
    metadata = {"format": "pt", "detector": name, "version": DETECTOR_VERSION}
    with replacing(folder / DETECTOR_FILE) as temporary:
        # A file without any tensor cannot be read everywhere.
        save_file(tensors or {"none": torch.zeros(1)}, temporary, metadata=metadata)


class ReadAs(Settings):
    """How an experiment says that it reads its images."""

    image_size: ImageSize
    channels: Literal[1, 3]
    bit_depth: BitDepth
    resize_mode: ResizeMode | None


class FittedDetector:
    """The detector of a finished experiment, with its threshold and how it reads images."""

    def __init__(self, location: Path | str) -> None:
        """Raises InputError for what is no completed experiment of novelty of this version."""
        self.experiment = read_any(find_experiment(location, kind=NOVELTY))
        if self.experiment.kind != NOVELTY:
            raise InputError(
                f"{self.experiment.path} is a {self.experiment.kind}: expected what "
                "code/novelty.py fit made"
            )
        self.threshold = float(self.experiment.results["threshold"]["threshold"])
        self.image_format = image_format(self.experiment)
        detector = _restored(self.experiment, self.image_format)
        scoring = validate(
            ScoringSettings,
            self.experiment.results["config"]["scoring"],
            f"{self.experiment.path}: config.scoring",
        )
        self.device = choose_device()
        keep_freed_memory()
        scored = ScoredDetector(detector, scoring.smoothing, scoring.largest)
        self.scored = scored.eval().to(self.device)

    @property
    def version(self) -> str:
        """The experiment, and the beginning of its file's digest."""
        with (self.experiment.path / DETECTOR_FILE).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
        return f"{self.experiment.name}@{digest}"

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> list[Scored]:
        """Score images. Raises InputError for a score that is not finite.

        Shape: uint8 (batch, channels, height, width)
        """
        scores, maps = self.scored(torch.from_numpy(images).to(self.device))
        if not torch.isfinite(scores).all():
            raise InputError(
                f"{self.experiment.path / DETECTOR_FILE}: a score is not finite (NaN or infinite): "
                "its weights are damaged: fit the detector again"
            )
        return list(zip(scores.tolist(), maps.cpu().numpy(), strict=True))

    def is_alarm(self, score: float) -> bool:
        """Whether the strip is like nothing that was learned from."""
        return score > self.threshold

    def box(self, smoothed_map: np.ndarray) -> Box:
        """The place of the hottest region, in pixels of the image as it is scored."""
        return hottest_box(smoothed_map, self.image_format.size, self.scored.detector.stride)


def image_format(experiment: Experiment) -> ImageFormat:
    """How the experiment reads its images."""
    look = experiment.look_up
    mode = look("config", "data", "resize_mode") if look("config", "data", "resize") else None
    read_as = {
        "image_size": look("data", "image_size"),
        "channels": look("config", "data", "channels"),
        "bit_depth": look("data", "bit_depth"),
        "resize_mode": mode,
    }
    checked = validate(ReadAs, read_as, f"{experiment.path}: data")
    size = size_rule(checked.image_size, checked.resize_mode)
    return ImageFormat(size, checked.channels, checked.bit_depth)


def _restored(experiment: Experiment, form: ImageFormat) -> Detector:
    file = experiment.path / DETECTOR_FILE
    about = experiment.results["detector"]
    name, params = about["type"], {**about["params"], **(about.get("rebuilt_by") or {})}
    try:
        with safe_open(file, "pt") as content:
            version = (content.metadata() or {}).get("version")
            state = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    except Exception as error:  # a file of another format can raise anything
        raise InputError(
            f"{file}: cannot be read ({_reason(error)}); expected what code/novelty.py fit wrote: "
            "copy it again, or fit again"
        ) from None
    if version != DETECTOR_VERSION:
        raise InputError(
            f"{file}: is of version {version}; this project reads version {DETECTOR_VERSION}: fit "
            "the detector again"
        )
    state.pop("none", None)
    try:
        with no_larger_than(state):
            detector: Detector = get_registry().instantiate(name, **params)
            detector.attach(form.channels, form.size)
        detector.load_state_dict(state)
    except Exception as error:  # options from a file can make any constructor fail
        raise InputError(
            f"{file}: does not fit detector {name} of this version ({_reason(error)}): fit it again"
        ) from error
    return detector


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def described(detector: Detector, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """The section of results.json from which `FittedDetector` restores the detector."""
    return {"type": name, "params": params, "rebuilt_by": detector.rebuilt_by()}
