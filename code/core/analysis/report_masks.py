"""The section of a report that shows where the model finds defects."""

from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.analysis.page import paragraph, table
from core.analysis.strips import grey_image, strip_figure
from core.analysis.text_tables import number
from core.errors import InputError
from core.experiments.drawing import overlay
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.escaping import for_html as escape
from core.files.reading import read_json

EXAMPLES = Path("masks") / "examples.json"
COLUMNS = {
    "dice": "Dice",
    "dice_with_defect": "Dice, with defect",
    "iou": "IoU",
    "pointing_accuracy": "peak inside",
}


class MaskExample(BaseModel):
    """An entry of examples.json: a test image and the files of its predicted and true mask."""

    image_id: str
    class_name: str
    dice: float
    peak_inside: bool
    predicted: str
    truth: str


def localization(experiment: Experiment, images: ImageFolder) -> str:
    """Dice, IoU and pointing accuracy of the test images, and a few of them as overlays."""
    figures = experiment.look_up("test", "localization")
    if not figures:
        return paragraph("This model predicts no masks (model.mask_head).")
    text = (
        "Test images at a probability of 0.5 per pixel. Dice is computed as in the competition, "
        "where two empty masks count 1; Dice, with defect, only over the images with that defect. "
        "Peak inside is the share of these images whose most probable cell of 4x4 pixels holds a "
        "pixel of the mask."
    )
    rows = [
        (name, values.get("num_with_mask", ""), *(number(values.get(key)) for key in COLUMNS))
        for name, values in [*figures["per_class"].items(), ("macro", figures["macro"])]
    ]
    legend = (
        "Colour: predicted, brighter where it is more probable. Cyan outline: the true mask. For "
        "each class the best, the middle and the worst image by Dice."
    )
    shown = "".join(_figure(example, experiment, images) for example in _examples(experiment))
    header = ("class", "with mask", *COLUMNS.values())
    return paragraph(text) + table(header, rows) + paragraph(legend, "soft") + shown


def _examples(experiment: Experiment) -> list[MaskExample]:
    try:
        content = read_json(experiment.path / EXAMPLES)
        return TypeAdapter(list[MaskExample]).validate_python(content, strict=True)
    except (InputError, ValidationError):
        return []


def _figure(example: MaskExample, experiment: Experiment, images: ImageFolder) -> str:
    return strip_figure(
        _drawn(example, experiment, images),
        example.image_id,
        f"<span><b>{escape(example.class_name)}</b></span>",
        f"<span>Dice {number(example.dice, 2)}</span>",
        f"<span>peak {'inside' if example.peak_inside else 'outside'} the mask</span>",
    )


def _drawn(example: MaskExample, experiment: Experiment, images: ImageFolder) -> np.ndarray | None:
    image = grey_image(images, example.image_id)
    folder = experiment.path / EXAMPLES.parent
    # Only the name counts: anyone may have written these paths.
    files = [folder / Path(name).name for name in (example.predicted, example.truth)]
    predicted, truth = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files)
    if image is None or predicted is None or truth is None or truth.shape != image.shape:
        return None
    heat = cv2.resize(predicted, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return overlay(image, heat / np.float32(255), truth, scale=(0.0, 1.0))
