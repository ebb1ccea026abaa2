"""Figures that must not change unnoticed: of losses, of metrics, and of one tiny training.

`REFRESH_GOLDEN=1 python -m pytest tests/golden` writes them anew; review the difference.
Inputs come from plain arithmetic, so that the figures are the same on every processor.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.losses import get_registry
from core.metrics.evaluation import evaluate
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.localization import MaskScores, localization_figures

COMMAND = "REFRESH_GOLDEN=1 python -m pytest tests/golden"
REFRESHING = bool(os.environ.get("REFRESH_GOLDEN"))
# A loss that cannot be built without parameters.
REQUIRED = {"compound": {"components": [{"type": "dice"}, {"type": "bce", "weight": 0.5}]}}


def sequence(shape: tuple[int, ...], step: int, modulus: int) -> torch.Tensor:
    """0, step, 2 step, ... modulo `modulus`, in that shape."""
    numbers = [step * i % modulus for i in range(math.prod(shape))]
    return torch.tensor(numbers, dtype=torch.float64).view(shape)


def golden_values(subject: str) -> dict[str, Any]:
    return json.loads(Path(__file__).with_name(f"{subject}.json").read_text())


def compare(subject: str, found: dict[str, Any], digits: int) -> None:
    """Compare with the golden values of the subject: floats to that many digits, others exactly."""
    found = {
        key: float(f"{value:.{digits}g}") if isinstance(value, float) else value
        for key, value in found.items()
    }
    if REFRESHING:
        text = json.dumps(found, indent=0, allow_nan=False) + "\n"
        Path(__file__).with_name(f"{subject}.json").write_text(text)
    golden = golden_values(subject)
    for key in found.keys() | golden.keys():
        assert key in golden, f"{key} has no golden value: run {COMMAND}"
        assert key in found, f"{key} is gone: if this is intended, run {COMMAND}"
        expected = golden[key]
        if isinstance(expected, float):
            # Another processor may round the last digit to the other side.
            expected = pytest.approx(expected, rel=2 * 10 ** (1 - digits), abs=1e-12)
        assert found[key] == expected, f"{key}: if this is intended, run {COMMAND}"


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every number in nested mappings and lists, by its dotted key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}".strip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{key}.{index}")
    else:
        yield key, value


@pytest.mark.filterwarnings("ignore:.*computes distance maps")
def test_losses():
    """Value and gradient's norm; a loss may have a worked example in its docstring instead."""
    known = None if REFRESHING else {key.partition(".")[0] for key in golden_values("losses")}
    found = {}
    for name in get_registry():
        has_example = ">>>" in (get_registry().get(name).__doc__ or "")
        if known is not None and name not in known and has_example:
            continue
        loss = get_registry().instantiate(name, **REQUIRED.get(name, {})).double()
        loss.set_class_statistics([897, 247, 5150, 801], 12568, "train_split")
        for kind, shape in {"labels": (3, 4), "masks": (2, 4, 6, 5)}.items():
            if kind == "labels" and loss.requires_masks:
                continue
            logits = ((sequence(shape, 7, 23) - 11) / 4).requires_grad_()
            targets = (sequence(shape, 5, 7) < 2).double()
            if loss.index_targets:
                targets = sequence((shape[0], *shape[2:]), 3, 4)
            value = loss(logits, targets)
            value.backward()
            found[f"{name}.{kind}"] = value.item()
            found[f"{name}.{kind}.gradient"] = logits.grad.norm().item()
    compare("losses", found, digits=6)


def predictions(images: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of two classes, with ties, and errors on both sides."""
    labels = sequence((images, 2), step, 7).numpy() < 2
    noise = sequence((images, 2), 11, 17).numpy() / 17
    return labels.astype(np.uint8), np.round(0.35 * labels + 0.6 * noise, 2)


def test_metrics():
    settings = EvaluationSettings(bootstrap_resamples=100, calibration="platt")
    figures = evaluate(predictions(40, 5), predictions(60, 3), ["pit", "crack"], settings)
    # The same figures once more, of other predictions or at other thresholds.
    for repeated in ("validation", "test_at_thresholds"):
        del figures[repeated]
    dice = sequence((12, 2), 5, 11).numpy() / 10
    shown = sequence((12, 2), 3, 5).numpy() > 1
    iou, peaks = np.where(shown, dice / 2, np.nan), np.where(shown, dice > 0.4, np.nan)
    figures["localization"] = localization_figures(MaskScores(dice, iou, peaks), ["pit", "crack"])
    found = {key: value for key, value in leaves(figures) if ".reliability." not in key}
    compare("metrics", found, digits=5)


def test_a_tiny_training(trained):
    """Its losses to a few digits; what it counts, and which strips are in which part, exactly."""
    results = json.loads((trained / "results.json").read_text())
    first = results["history"][0]
    split = (trained / "split.csv").read_text().splitlines()[1:]
    figures = {
        "train_loss": first["train"]["loss"],
        "validation_loss": first["validation"]["loss"],
        "learning_rate": first["learning_rate"],
        "num_parameters": results["model"]["num_parameters"],
        "class_counts": list(results["data"]["class_counts"].values()),
        "test": [line.partition(",")[0] for line in split if line.endswith(",test")],
    }
    compare("training", dict(leaves(figures)), digits=3)
