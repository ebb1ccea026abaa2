"""Experiment folders as a training writes them, from simulated probabilities."""

import copy
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.files.writing import to_json
from core.metrics.evaluation import evaluate
from core.metrics.evaluation_settings import EvaluationSettings

CLASS_NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
LABEL_SETS = [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
SHARES = [0.4, 0.3, 0.1, 0.08, 0.06, 0.06]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Recipe:
    """A made-up experiment; `quality` is the distance of the classes in standard deviations."""

    name: str = "experiment_a"
    seed: int = 42
    data_seed: int = 0
    images: int = 120
    quality: float = 2.5
    config: dict[str, Any] = field(default_factory=dict, compare=False)  # changes no figure
    calibration: str = "none"
    class_names: Sequence[str] = tuple(CLASS_NAMES)


def write_experiment(results_dir: Path, recipe: Recipe | None = None, **values: Any) -> Path:
    """Write one completed experiment and return its folder."""
    recipe = recipe or Recipe(**values)
    folder = results_dir / recipe.name
    folder.mkdir(parents=True)
    parts = {part: _draw(recipe, part) for part in PARTS}
    # Of the name, the figures depend on the length.
    alike = replace(recipe, name="x" * len(recipe.name), class_names=tuple(recipe.class_names))
    results = _head(recipe, parts) | copy.deepcopy(_report(alike))
    write_results(folder, results)
    predicted = {part: parts[part] for part in ("validation", "test")}
    write_predictions(folder, predicted, recipe.class_names)
    with (folder / "split.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image_id", "split"])
        rows.writerows((image, part) for part in PARTS for image in parts[part][0])
    return folder


@lru_cache
def _report(recipe: Recipe) -> dict[str, Any]:
    """The figures, computed once: many tests write experiments that differ in names alone."""
    validation, test = (_draw(recipe, part)[1:] for part in PARTS[1:])
    settings = EvaluationSettings(bootstrap_resamples=100, calibration=recipe.calibration)
    return evaluate(validation, test, recipe.class_names, settings, recipe.seed)


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write results.json, strictly."""
    text = json.dumps(to_json(results), indent=2, allow_nan=False)
    (folder / "results.json").write_text(text)


def read_results(folder: Path) -> dict[str, Any]:
    """Read it back, to change something in it."""
    return json.loads((folder / "results.json").read_text())


def write_predictions(
    folder: Path, parts: dict[str, Any], class_names: Sequence[str] = CLASS_NAMES
) -> None:
    """Write predictions.csv."""
    with (folder / "predictions.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        header = [f"label_{name}" for name in class_names]
        header += [f"probability_{name}" for name in class_names]
        rows.writerow(["image_id", "split", *header])
        for part, (images, labels, probabilities) in parts.items():
            for image, y, p in zip(images, labels, probabilities, strict=True):
                rows.writerow([image, part, *y.tolist(), *(f"{value:.17g}" for value in p)])


def _draw(recipe: Recipe, part: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Images and labels depend on the data's seed alone, probabilities on the experiment's too."""
    offset = PARTS.index(part)
    data = np.random.default_rng((recipe.data_seed, offset))
    counts = np.round(np.array(SHARES) * recipe.images).astype(int)
    labels = data.permutation(np.repeat(LABEL_SETS, counts, axis=0)).astype(int)
    images = [f"{recipe.data_seed:02d}{offset}{k:05d}.jpg" for k in range(len(labels))]
    noise = np.random.default_rng((recipe.data_seed, recipe.seed, offset, len(recipe.name)))
    # Half of the noise is the image's own: what is hard for one model is hard for another.
    shared = data.normal(size=labels.shape)
    logits = (shared + noise.normal(size=labels.shape)) / np.sqrt(2)
    logits = 2 * (logits + recipe.quality * (labels - 0.55))
    return images, labels, 1 / (1 + np.exp(-logits))


def _head(recipe: Recipe, parts: dict[str, Any]) -> dict[str, Any]:
    config = {
        "model": {"name": "resnet50"},
        "loss": {"type": "focal_loss", "gamma": 2.0, "alpha": None},
        "data": {"root": "strips", "split_file": None},
        "training": {"num_epochs": 3, "trackers": []},
        "experiment": {"name": recipe.name, "seed": recipe.seed},
    }
    for key, value in recipe.config.items():
        section, _, name = key.partition(".")
        config[section][name] = value
    counts = {
        part: {
            "num_images": len(images),
            "clean": int((labels.sum(axis=1) == 0).sum()),
            "class_counts": dict(zip(recipe.class_names, labels.sum(axis=0).tolist(), strict=True)),
        }
        for part, (images, labels, _) in parts.items()
    }
    totals = np.sum([labels.sum(axis=0) for _, labels, _ in parts.values()], axis=0)
    return {
        "schema_version": 1,
        "status": "completed",
        "experiment": {
            "name": recipe.name,
            "seed": recipe.seed,
            "created_at": "2026-01-02T03:04:05+00:00",
            "command": "python code/train.py model.name=resnet50 augmentation.x='<b>'",
        },
        "config": config,
        "environment": {
            "python": "3.11.7",
            "packages": {"torch": "2.13.0"},
            "git": {"commit": "0123456789abcdef", "changed": False},
            "hardware": {"device": "cpu", "cores": 2},
        },
        "data": {
            "root": "strips",
            "source": "train.csv",
            "fingerprint": f"fingerprint{recipe.data_seed}",
            "class_names": list(recipe.class_names),
            "image_size": [256, 1600],
            "num_images": sum(part["num_images"] for part in counts.values()),
            "class_counts": dict(zip(recipe.class_names, totals.tolist(), strict=True)),
            "split": {"strategy": "stratified_70_15_15", "seed": recipe.data_seed, "parts": counts},
        },
        "model": {"name": "resnet50", "num_parameters": 23508032, "num_trainable_parameters": 9},
        "loss": {"type": "focal_loss", "params": {"gamma": 2.0}},
        "history": [_epoch(epoch) for epoch in (1, 2, 3)],
        "best_epoch": 2,
        "timings": {"training_seconds": 12.5, "evaluation_seconds": 1.25},
    }


def _epoch(epoch: int) -> dict[str, Any]:
    f1 = [0.0, 0.4, 0.7, 0.65][epoch]
    return {
        "epoch": epoch,
        "learning_rate": 1e-3 / epoch,
        "train": {
            "loss": 0.5 / epoch,
            "duration_seconds": 4.0,
            "images_per_second": 90.0,
            "data_wait_share": 0.1,
        },
        "validation": {
            "loss": 0.6 / epoch,
            "macro_f1": f1,
            "macro_average_precision": f1 + 0.1,
            "macro_auroc": None if epoch == 1 else 0.9,
            "per_class_f1": dict.fromkeys(CLASS_NAMES, f1),
        },
    }
