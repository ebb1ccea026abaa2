"""A fitted detector as an ONNX model of scores and maps of distances."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch

from core.errors import InputError
from core.experiments.reading import read_results
from core.experiments.schema import NOVELTY
from core.exporting.exporting import all_or_nothing, check_output, write_parity
from core.exporting.formats import write_onnx
from core.exporting.parity import TOLERANCE
from core.novelty.detector_file import FittedDetector

ONNX_FILE = "detector.onnx"
OUTPUTS = ("scores", "maps")
_FORMAT, _NUM_STRIPS, _BATCH_SIZES = "onnx", 8, (8, 3)


def is_detector(experiment: Path) -> bool:
    """Whether the experiment is a detector of novelty."""
    return read_results(experiment).get("kind") == NOVELTY


def export_detector(experiment: Path, options: Mapping[str, Any]) -> Path:
    """Export a fitted detector by the `options` of code/export.py; by default to detector.onnx in
    its folder.

    The model takes `images` uint8 (batch, channels, height, width) and returns `scores` (batch,)
    and the smoothed `maps` (batch, rows, columns). How far it is from PyTorch is written beside it.
    Raises InputError for another format or a bundle, or a difference of more than 1e-4.
    """
    if options["format"] != _FORMAT or options["bundle"] or options["latency"]:
        raise InputError(
            f"{experiment}: is a detector of novelty, which is exported by --format onnx alone, "
            "without --bundle or --latency"
        )
    path = options["output"] or experiment / ONNX_FILE
    if path.suffix != ".onnx" or path.is_dir():
        raise InputError(f"--output {path}: expected the name of a file that ends in .onnx")
    check_output(path, options["force"])
    fitted = FittedDetector(experiment)
    form = fitted.image_format
    strips = _drawn_images((_NUM_STRIPS, form.channels, *form.size))
    scored = fitted.scored.cpu()
    with all_or_nothing(path.parent) as scratch:
        file = scratch / path.name
        write_onnx(scored, torch.from_numpy(strips[:2]), file, _signature(fitted), OUTPUTS)
        parity = _measured(scored, file, strips)
        if not parity["max_difference"] <= TOLERANCE:  # NaN is refused too
            raise InputError(
                f"ONNX export of {experiment}: differs by {parity['max_difference']:.2g} from "
                f"PyTorch, and at most {TOLERANCE:g} is allowed: nothing was written"
            )
        write_parity(file, _FORMAT, fitted.version, parity)
    return path


def _signature(fitted: FittedDetector) -> str:
    """What has to be known to use the file alone, as JSON."""
    form = fitted.image_format
    values = {
        "schema_version": 1,
        "detector": fitted.version,
        "threshold": fitted.threshold,
        "image_size": list(form.size),
        "channels": form.channels,
        "bit_depth": form.bit_depth,
    }
    return json.dumps(values, sort_keys=True)


def _drawn_images(shape: tuple[int, ...]) -> np.ndarray:
    """Blurred noise: the strips that it was fitted on may lie elsewhere by now."""
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for plane in images.reshape(-1, *shape[2:]):
        plane[:] = cv2.GaussianBlur(plane, (0, 0), 2)
    return images


@torch.inference_mode()
def _measured(scored: torch.nn.Module, file: Path, strips: np.ndarray) -> dict[str, Any]:
    """The largest difference of scores and maps, relative to the largest value if that is above 1.

    Batches of other sizes than the traced one are compared.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(OUTPUTS, 0.0)
    for size in _BATCH_SIZES:
        found = session.run(list(OUTPUTS), {"images": strips[:size]})
        expected = scored(torch.from_numpy(strips[:size]))
        for name, one, other in zip(OUTPUTS, found, expected, strict=True):
            values = other.numpy()
            difference = float(np.abs(one - values).max() / max(1.0, np.abs(values).max()))
            largest[name] = max(largest[name], difference)
    return {
        "num_strips": len(strips),
        "strips": "blurred noise",
        "batch_sizes": list(_BATCH_SIZES),
        "max_difference": max(largest.values()),
        "max_difference_per_output": largest,
        "tolerance": TOLERANCE,
    }
