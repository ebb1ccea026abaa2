"""Compose the fitting of a detector from a checked config, run it, and test it."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.analysis.report import write_report
from core.experiments.folder import ExperimentFolder
from core.experiments.schema import NoveltyResults
from core.machine.device import choose_device, keep_freed_memory
from core.machine.distributed import first_before_others, is_first
from core.machine.interruption import Interruption
from core.novelty.choosing import Chosen, choose_strips
from core.novelty.concluding import batches_on_device, conclude
from core.novelty.detectors import Detector, OnePassDetector, get_registry
from core.novelty.learning import Learning
from core.novelty.record import describe
from core.novelty.settings import NoveltyConfig
from core.training.seeding import seed_everything, set_determinism
from core.training.trackers import tracked

log = logging.getLogger(__name__)

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
    with tracked(folder, config.training.trackers), folder.running(interruption):
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
    config: NoveltyConfig, chosen: Chosen, detector: OnePassDetector, folder: ExperimentFolder
) -> None:
    """Let a detector that learns in one pass learn from the strips to fit on."""
    start = time.monotonic()
    figures = detector.fit(
        batches_on_device(config, chosen.fit, detector, "fitting"), config.experiment.seed
    )
    folder.record(fit=figures, timings={"training_seconds": time.monotonic() - start})
