"""What follows from a detector that has learned: its file, its threshold, and its test."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.experiments.folder import ExperimentFolder
from core.novelty.choosing import Chosen, Part
from core.novelty.detector_file import DETECTOR_FILE, described, save_detector
from core.novelty.detectors import Detector, get_registry
from core.novelty.evaluation import evaluate, figures_text
from core.novelty.evidence import write_hottest, write_scores
from core.novelty.record import write_card
from core.novelty.score import ScoredDetector
from core.novelty.settings import NoveltyConfig
from core.novelty.threshold import Threshold, choose_threshold, false_alarms

log = logging.getLogger(__name__)

BASELINE = "high_pass"


def conclude(
    config: NoveltyConfig, chosen: Chosen, detector: Detector, folder: ExperimentFolder
) -> dict[str, Any]:
    """Save what was learned, choose the threshold, and test; the sections of results.json.

    The same is done for the baseline, which learns nothing.
    """
    name, start = config.detector["name"], time.monotonic()
    save_detector(folder.path, detector, name)
    detectors = {name: detector}
    if name != BASELINE:
        baseline = get_registry().instantiate(BASELINE)
        detectors[BASELINE] = baseline.eval().to(device_of(detector))
    members = list(detectors.values())
    clean, tested = (score_part(config, part, members) for part in (chosen.threshold, chosen.test))
    found = []
    for number, title in enumerate(detectors):
        rate = config.scoring.false_alarms_per_1000
        threshold = choose_threshold(clean[number], rate, chosen.threshold.groups)
        test = evaluate(tested[number], threshold, chosen.tested)
        lines = [*figures_text(test, title), *(f"  {line}" for line in threshold.lines())]
        log.info("%s", "\n".join(lines))
        found.append({"threshold": threshold.record(), "test": test})
    warn_of_false_alarms(found[0]["test"], found[0]["threshold"])
    sections = {
        "detector": described(detector, name, config.params),
        **found[0],
        **({"baseline": found[1]} if len(found) > 1 else {}),
        "seen": has_seen_enough(config, chosen, detector, clean[0]),
        "timings": {"evaluation_seconds": time.monotonic() - start},
    }
    write_card(folder.path, config, chosen, sections)
    write_scores(folder.path, chosen, clean, tested)
    scored = ScoredDetector(detector, config.scoring.smoothing, config.scoring.largest).eval()
    threshold = sections["threshold"]["threshold"]
    write_hottest(folder.path, chosen, scored, tested[0], threshold)
    log.info("Detector: %s", folder.path / DETECTOR_FILE)
    return sections


def warn_of_false_alarms(test: dict[str, Any], threshold: dict[str, Any]) -> None:
    """Warn where clean strips that were held out raise clearly more alarms than expected."""
    alarms = test.get("false_alarms")
    if alarms and alarms["interval_per_1000"][0] > threshold["interval_per_1000"][1]:
        log.warning(
            "%d of the %d clean strips of the test raise the alarm, %.3g per 1,000, and %.3g were "
            "expected: they look different from those that set the threshold",
            alarms["num_alarms"], alarms["num_strips"], alarms["per_1000"],
            threshold["expected_per_1000"],
        )  # fmt: skip


def has_seen_enough(
    config: NoveltyConfig, chosen: Chosen, detector: Detector, held_out: np.ndarray
) -> dict[str, Any]:
    """Whether held-out clean strips score as the strips that were learned from; warns if not.

    As many of the latter as were held out would set a threshold, above which the former lie
    `false_alarms` times. Where both rates are clearly apart, more strips would still change what
    is normal. So few strips that they could never be clearly apart do not tell, and are not enough.
    Shape: held_out (strips,), the scores of those that set the real threshold
    """
    generator = np.random.default_rng(config.experiment.seed)
    number = min(len(chosen.fit), len(chosen.threshold))
    drawn = np.sort(generator.permutation(len(chosen.fit))[:number])
    learned = Part(chosen.fit.strips, chosen.fit.rows[drawn], chosen.fit.groups[drawn])
    (scores,) = score_part(config, learned, [detector])
    rate = config.scoring.false_alarms_per_1000
    at: Threshold = choose_threshold(scores, rate, learned.groups)
    alarms = false_alarms(held_out, at.threshold, chosen.threshold.groups)
    highest = false_alarms(np.ones_like(held_out), 0.0, chosen.threshold.groups)
    can_tell = highest["interval_per_1000"][0] > at.interval_per_1000[1]
    is_enough = can_tell and alarms["interval_per_1000"][0] <= at.interval_per_1000[1]
    if not can_tell:
        log.warning(
            "%d clean strips set the threshold, too few to tell whether the detector has learned "
            "from enough: give more",
            len(chosen.threshold),
        )
    elif not is_enough:
        log.warning(
            "Fitted on %d strips, which are too few: %d of %d other clean strips score higher than "
            "%d of those that were learned from: fit it on more, of all looks that are normal",
            len(chosen.fit), alarms["num_alarms"], alarms["num_strips"],
            int((scores <= at.threshold).sum()),
        )  # fmt: skip
    return {"threshold": at.threshold, "false_alarms": alarms, "is_enough": is_enough}


@torch.inference_mode()
def score_part(config: NoveltyConfig, part: Part, detectors: list[Detector]) -> list[np.ndarray]:
    """The score of each strip by each detector, from one reading of the images."""
    scoring = config.scoring
    scored = [ScoredDetector(d, scoring.smoothing, scoring.largest).eval() for d in detectors]
    found: list[list[np.ndarray]] = [[] for _ in scored]
    for images in batches_on_device(config, part, detectors[0], "scoring"):
        for own, one in zip(found, scored, strict=True):
            own.append(one(images)[0].cpu().numpy())
    return [np.concatenate(own) if own else np.empty(0) for own in found]


def batches_on_device(
    config: NoveltyConfig, part: Part, detector: Detector, bar: str
) -> Iterator[Tensor]:
    """The part's batches where the detector is; the progress bar has the name `bar`."""
    device = device_of(detector)
    for images in part.batches(config.data.batch_size, bar):
        yield images.to(device)


def device_of(detector: Detector) -> torch.device:
    """Where the detector is; the CPU for one without tensors."""
    tensors = [*detector.parameters(), *detector.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
