"""The part of a report that shows where the model sees defects."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.analysis.page import paragraph, table
from core.analysis.strips import data_url, read_image
from core.errors import InputError
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.reading import read_json

EXAMPLES = Path("masks") / "examples.json"

# Blue, green, red, as cv2 has them.
_PREDICTED = np.array([30, 90, 250])
_TRUTH = (200, 230, 0)
_STRONGEST = 0.65

_COLUMNS = {
    "dice": "Dice",
    "dice_with_defect": "Dice, with defect",
    "iou": "IoU",
    "pointing_accuracy": "peak inside",
}


def localization(experiment: Experiment, images: ImageFolder) -> str:
    """Dice, IoU and pointing accuracy of the test images, and a few of them as overlays."""
    figures = experiment.look_up("test", "localization")
    if not figures:
        return paragraph("This model predicts no masks (model.mask_head).")
    text = (
        "Test images at a probability of 0.5 per pixel. Dice as the competition scored it: empty "
        "against empty counts 1; beside it over the images with that defect alone. Peak inside: "
        "share of these whose hottest cell of 4x4 pixels holds a pixel of the mask."
    )
    rows = [
        (name, values.get("num_with_mask", ""), *(_number(values.get(key)) for key in _COLUMNS))
        for name, values in [*figures["per_class"].items(), ("macro", figures["macro"])]
    ]
    header = ("class", "with mask", *_COLUMNS.values())
    legend = "Red: predicted; cyan outline: the true mask. Of each class best, middle and worst."
    shown = "".join(_figure(entry, experiment, images) for entry in _examples(experiment))
    return paragraph(text) + table(header, rows) + paragraph(legend, "soft") + shown


def overlay(image: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A grey image with the prediction laid over it and the true mask outlined.

    Shape: image and truth uint8 (H, W), predicted uint8 of any size -> uint8 (H, W, 3)
    """
    height, width = image.shape
    heat = cv2.resize(predicted, (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = (heat.astype(np.float32) / 255 * _STRONGEST)[..., None]
    grey = np.repeat(image[..., None], 3, axis=2).astype(np.float32)
    mixed = np.ascontiguousarray((grey * (1 - alpha) + _PREDICTED * alpha).astype(np.uint8))
    outlines, _ = cv2.findContours(truth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mixed, outlines, -1, _TRUTH, max(1, height // 128))
    return mixed


class _Example(BaseModel):
    image_id: str
    class_name: str
    dice: float
    peak_inside: bool
    predicted: str
    truth: str


def _examples(experiment: Experiment) -> list[dict[str, Any]]:
    try:
        content = read_json(experiment.path / EXAMPLES)
        examples = TypeAdapter(list[_Example]).validate_python(content, strict=True)
    except (InputError, ValidationError):
        return []
    return [example.model_dump() for example in examples]


def _figure(entry: Mapping[str, Any], experiment: Experiment, images: ImageFolder) -> str:
    image_id, name = str(entry["image_id"]), str(entry["class_name"])
    inside = "inside" if entry["peak_inside"] else "outside"
    caption = (
        f"<code>{escape(image_id)}</code><span><b>{escape(name)}</b></span>"
        f"<span>Dice {entry['dice']:.2f}</span><span>peak {inside} the mask</span>"
    )
    picture = _picture(entry, experiment, images)
    shown = (
        f'<div class="view"><img src="{picture}" alt="{escape(image_id, quote=True)}"></div>'
        if picture
        else '<div class="absent">image not found</div>'
    )
    return f'<figure class="strip"><figcaption>{caption}</figcaption>{shown}</figure>'


def _picture(entry: Mapping[str, Any], experiment: Experiment, images: ImageFolder) -> str | None:
    image = read_image(images, str(entry["image_id"]))
    folder = experiment.path / EXAMPLES.parent
    # A file's name and no more: it is read from a file that anyone may have written.
    files = [folder / Path(str(entry[kind])).name for kind in ("predicted", "truth")]
    predicted, truth = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files)
    if image is None or predicted is None or truth is None or truth.shape != image.shape:
        return None
    return data_url(overlay(image, predicted, truth))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
