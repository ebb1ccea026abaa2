"""Predicted masks of a few test images, kept so that a report can show them."""

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

EXAMPLES_FILE = "examples.json"


def choose_examples(scores: MaskScores) -> list[tuple[int, int]]:
    """(image, class) of the best, the middle and the worst Dice among the images of each class."""
    chosen = []
    for c in range(scores.dice.shape[1]):
        shown = np.flatnonzero(~np.isnan(scores.peak_inside[:, c]))
        ranked = shown[np.argsort(-scores.dice[shown, c], kind="stable")]
        places = sorted({0, len(ranked) // 2, len(ranked) - 1}) if len(ranked) else []
        chosen += [(int(ranked[place]), c) for place in places]
    return chosen


@torch.no_grad()
def write_mask_examples(
    folder: Path, model: nn.Module, dataset: Dataset, scores: MaskScores, class_names: Sequence[str]
) -> None:
    """Write examples.json and, for each example, two PNG: the probabilities and the true mask.

    `dataset` holds the scored images in order, with their masks. The model must be in evaluation
    mode. Probabilities are stored as 0 to 255 at the size of the mask logits, the true mask as 0 or
    255 at the size of the image.
    """
    device = next(model.parameters()).device
    folder.mkdir(exist_ok=True)
    examples: list[dict[str, Any]] = []
    for number, (position, c) in enumerate(choose_examples(scores), start=1):
        sample = dataset[position]
        probabilities = model(sample["image"][None].to(device))["mask_logits"][0, c].sigmoid()
        pictures = {
            "predicted": (probabilities.float().cpu().numpy() * 255).round().astype(np.uint8),
            "truth": sample["masks"][c].numpy() * np.uint8(255),
        }
        names = {kind: f"example_{number:02d}_{kind}.png" for kind in pictures}
        for kind, picture in pictures.items():
            with replacing(folder / names[kind]) as temporary:
                temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
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
