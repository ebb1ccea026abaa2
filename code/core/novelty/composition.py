"""Compose the fitting of a detector from a checked config, run it, and test it."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.analysis.report import write_report
from core.experiments.folder import ExperimentFolder
from core.experiments.schema import NoveltyResults
from core.machine.device import choose_device, keep_freed_memory
from core.machine.distributed import first_before_others, is_first
from core.machine.interruption import Interruption
from core.novelty.choosing import Chosen, Part, choose_strips
from core.novelty.detector_file import DETECTOR_FILE, described, save_detector
from core.novelty.detectors import Detector, get_registry
from core.novelty.evaluation import evaluate, figures_text
from core.novelty.learning import Learning
from core.novelty.record import describe, write_card
from core.novelty.score import ScoredDetector
from core.novelty.settings import NoveltyConfig
from core.novelty.threshold import choose_threshold
from core.training.seeding import seed_everything, set_determinism

log = logging.getLogger(__name__)

BASELINE = "high_pass"
SCRIPT = "code/novelty.py fit"


@dataclass(frozen=True)
class Setup:
    """Everything that fitting needs, built from a config; `learning` where it is by gradient."""

    chosen: Chosen
    detector: Detector
    learning: Learning | None


def fit(config: NoveltyConfig) -> dict[str, Any]:
    """Fit one detector and return what its results.json holds.

    Everything is read, checked and built before a folder is made: a mistake leaves nothing behind.
    """
    setup = build(config)
    folder = ExperimentFolder.create(Path(config.experiment.results_dir), config.experiment.name)
    return run(config, setup, folder)


def build(config: NoveltyConfig) -> Setup:
    """Build what the config names. Raises InputError for values that do not fit the strips."""
    with first_before_others():  # a cache may be filled
        chosen = choose_strips(config)
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    keep_freed_memory()
    set_determinism(config.runtime.deterministic)
    seed_everything(config.experiment.seed)
    with first_before_others():  # weights may be downloaded
        detector: Detector = get_registry().instantiate(config.detector["name"], **config.params)
        detector.attach(chosen.image_format.channels, chosen.image_format.size)
    learning = None
    if detector.learned_by_gradient:
        learning = Learning.of(config, chosen.fit, detector, device)
    return Setup(chosen, detector.eval().to(device), learning)


def run(
    config: NoveltyConfig,
    setup: Setup,
    folder: ExperimentFolder,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Learn, from the `checkpoint` that the learner was restored to, if any; then conclude."""
    folder.schema, folder.script = NoveltyResults, SCRIPT if setup.learning else None
    interruption = Interruption()
    with folder.running(interruption):
        log.info("Fitting %s", folder.path)
        if is_first():
            describe(folder, config, setup.chosen, setup.detector)
        if setup.learning:
            setup.learning.train(config, folder, interruption, checkpoint)
        else:
            learn(config, setup.chosen, setup.detector, folder)
        if is_first():
            sections = conclude(config, setup.chosen, setup.detector.eval(), folder)
            folder.record(**sections)
    if is_first():
        log.info("Results: %s", folder.results_file)
        log.info("Report: %s", write_report(folder.path))
    return folder.results


def learn(
    config: NoveltyConfig, chosen: Chosen, detector: Detector, folder: ExperimentFolder
) -> None:
    """Let a detector that is not learned by gradient learn from the strips to fit on."""
    start = time.monotonic()
    figures = detector.fit(_on_device(config, chosen.fit, detector), config.experiment.seed)
    folder.record(fit=figures, timings={"training_seconds": time.monotonic() - start})


def conclude(
    config: NoveltyConfig, chosen: Chosen, detector: Detector, folder: ExperimentFolder
) -> dict[str, Any]:
    """Save what was learned, choose the threshold, and test; the sections of results.json.

    The same is done for the baseline, which learns nothing.
    """
    name, start = config.detector["name"], time.monotonic()
    save_detector(folder.path, detector, name)
    baseline = get_registry().instantiate(BASELINE)
    if name == BASELINE:
        detectors = {"detector": detector}
    else:
        detectors = {"detector": detector, BASELINE: baseline.eval().to(_device(detector))}
    found: dict[str, Any] = {}
    scores = [score_part(config, part, list(detectors.values()))
              for part in (chosen.threshold, chosen.test)]  # fmt: skip
    for number, key in enumerate(detectors):
        rate = config.scoring.false_alarms_per_1000
        threshold = choose_threshold(scores[0][number], rate, chosen.threshold.groups)
        test = evaluate(scores[1][number], threshold, chosen.tested)
        title = name if key == "detector" else f"{BASELINE}, which learns nothing"
        log.info("%s", "\n".join([*figures_text(test, title), *_told(threshold.lines())]))
        found[key] = {"threshold": threshold.record(), "test": test}
    own = found.pop("detector")
    warn_of_false_alarms(own["test"], own["threshold"]["expected_per_1000"])
    sections = {
        "detector": described(detector, name, config.params),
        **own,
        **({"baseline": found[BASELINE]} if found else {}),
        "timings": {"evaluation_seconds": time.monotonic() - start},
    }
    write_card(folder.path, config, chosen, sections)
    log.info("Detector: %s", folder.path / DETECTOR_FILE)
    return sections


def _told(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def warn_of_false_alarms(test: dict[str, Any], expected_per_1000: float) -> None:
    """Warn where clean strips that were held out raise clearly more alarms than expected."""
    alarms = test.get("false_alarms")
    if alarms and alarms["interval_per_1000"][0] > expected_per_1000:
        low, high = alarms["interval_per_1000"]
        log.warning(
            "%d of %d clean strips that were held out raise the alarm, %.3g per 1,000 [%.3g, %.3g]"
            ", and %.3g were expected: the detector has not seen enough clean strips: fit it on "
            "more, of all looks that are normal",
            alarms["num_alarms"], alarms["num_strips"], alarms["per_1000"], low, high,
            expected_per_1000,
        )  # fmt: skip


@torch.inference_mode()
def score_part(config: NoveltyConfig, part: Part, detectors: list[Detector]) -> list[np.ndarray]:
    """The score of each strip by each detector, from one reading of the images."""
    scoring = config.scoring
    scored = [ScoredDetector(d, scoring.smoothing, scoring.largest).eval() for d in detectors]
    found: list[list[np.ndarray]] = [[] for _ in scored]
    for images in _on_device(config, part, detectors[0], "scoring"):
        for own, one in zip(found, scored, strict=True):
            own.append(one(images)[0].cpu().numpy())
    return [np.concatenate(own) if own else np.empty(0) for own in found]


def _on_device(config: NoveltyConfig, part: Part, detector: Detector, bar: str = "fitting"):
    device = _device(detector)
    for images in part.batches(config.data.batch_size, bar):
        yield images.to(device)


def _device(detector: Detector) -> torch.device:
    """Where the detector is; the CPU for one without tensors."""
    tensors = [*detector.parameters(), *detector.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
