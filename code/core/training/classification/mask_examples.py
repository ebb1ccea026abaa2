"""Predicted and true masks of a few test images, kept so that a report can show them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from core.files.writing import replacing, write_json
from core.metrics.localization import MaskScores
from core.metrics.mistakes import confident_mistakes
from core.metrics.scored_predictions import Decided

EXAMPLES_FILE = "examples.json"
MISTAKES_FILE = "mistakes.json"


def choose_examples(scores: MaskScores) -> list[tuple[int, int]]:
    """(image, class) of the best, the middle and the worst Dice among the images of each class."""
    chosen = []
    for c in range(scores.dice.shape[1]):
        shown = np.flatnonzero(~np.isnan(scores.peak_inside[:, c]))
        ranked = shown[np.argsort(-scores.dice[shown, c], kind="stable")]
        places = sorted({0, len(ranked) // 2, len(ranked) - 1}) if len(ranked) else []
        chosen += [(int(ranked[place]), c) for place in places]
    return chosen


def write_mask_examples(
    folder: Path, model: nn.Module, dataset: Dataset, scores: MaskScores, class_names: Sequence[str]
) -> None:
    """Write examples.json and, for each example, two PNG: the probabilities and the true mask.

    `dataset` holds the scored images in order, with their masks. The model must be in evaluation
    mode. Probabilities are stored as 0 to 255 at the size of the mask logits, the true mask as 0 or
    255 at the size of the image.
    """
    folder.mkdir(exist_ok=True)
    examples: list[dict[str, Any]] = []
    for number, (position, c) in enumerate(choose_examples(scores), start=1):
        sample = dataset[position]
        pictures = {
            "predicted": _predicted_masks(model, sample)[c],
            "truth": sample["masks"][c].numpy() * np.uint8(255),
        }
        names = _write_pictures(folder, f"example_{number:02d}", pictures)
        examples.append(
            {
                "image_id": sample["image_id"],
                "class_name": class_names[c],
                "dice": float(scores.dice[position, c]),
                "peak_inside": bool(scores.peak_inside[position, c]),
                **names,
            }
        )
    write_json(folder / EXAMPLES_FILE, examples)


def write_mistake_masks(
    folder: Path, model: nn.Module, dataset: Dataset, found: Decided, predicts_masks: bool
) -> None:
    """Write mistakes.json, and the masks of the mistakes that a report shows first.

    Each picture holds the maximum over the classes: the true mask where it is known, and the
    predicted one where the model predicts any. Otherwise as for `write_mask_examples`; without
    either nothing is written.
    """
    entries: list[dict[str, Any]] = []
    for position in sorted({row for missed in (True, False)
                            for row in confident_mistakes(found, missed)}):  # fmt: skip
        masks, sample = dataset.true_masks(position), dataset[position] if predicts_masks else None
        pictures = {
            "predicted": None if sample is None else _predicted_masks(model, sample).max(axis=0),
            "truth": None if masks is None else masks.max(axis=0) * np.uint8(255),
        }
        pictures = {kind: each for kind, each in pictures.items() if each is not None}
        if pictures:
            folder.mkdir(exist_ok=True)
            names = _write_pictures(folder, f"mistake_{len(entries) + 1:02d}", pictures)
            entries.append(
                {"image_id": dataset.table.image_ids[dataset.indices[position]], **names}
            )
    if entries:
        write_json(folder / MISTAKES_FILE, entries)


@torch.no_grad()
def _predicted_masks(model: nn.Module, sample: dict[str, Any]) -> np.ndarray:
    """Probabilities of all classes as 0 to 255. Shape: uint8 (C, h, w)."""
    images = sample["image"][None].to(next(model.parameters()).device)
    probabilities = model(images)["mask_logits"][0].sigmoid()
    return (probabilities.float().cpu().numpy() * 255).round().astype(np.uint8)


def _write_pictures(folder: Path, stem: str, pictures: dict[str, np.ndarray]) -> dict[str, str]:
    """The name of each picture's file, by its kind."""
    names = {kind: f"{stem}_{kind}.png" for kind in pictures}
    for kind, picture in pictures.items():
        with replacing(folder / names[kind]) as temporary:
            temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return names
