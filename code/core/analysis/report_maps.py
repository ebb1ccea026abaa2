"""The sections of a report that show where the model finds defects, and where it looks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.analysis.page import paragraph, table
from core.analysis.strips import data_url, grey_image, strip_figure
from core.analysis.text_tables import class_title, number
from core.errors import InputError
from core.experiments.drawing import overlay
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.escaping import for_html as escape
from core.files.reading import read_json
from core.files.resizing import Resize, ResizeMode

EXAMPLES = Path("masks") / "examples.json"
COLUMNS = {
    "dice": "Dice",
    "dice_with_defect": "Dice, with defect",
    "iou": "IoU",
    "pointing_accuracy": "peak inside",
}

EXPLANATION_FILE, SHEET_FILE = "explanation.json", "contact_sheet.jpg"
FIGURES = {
    "pointing_accuracy": "peak on the defect",
    "energy_inside": "share inside",
    "deletion": "deletion",
    "insertion": "insertion",
}
SHEET_WIDTH = 1000


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
        for name, values in [
            *((class_title(cls), own) for cls, own in figures["per_class"].items()),
            ("macro", figures["macro"]),
        ]
    ]
    legend = (
        "Colour: predicted, brighter where it is more probable. Cyan outline: the true mask. For "
        "each class the best, the middle and the worst image by Dice."
    )
    shown = "".join(_drawn(example, experiment, images) for example in _examples(experiment))
    header = ("class", "with mask", *COLUMNS.values())
    return paragraph(text) + table(header, rows) + paragraph(legend, "soft") + shown


def _examples(experiment: Experiment) -> list[MaskExample]:
    try:
        content = read_json(experiment.path / EXAMPLES)
        return TypeAdapter(list[MaskExample]).validate_python(content, strict=True)
    except (InputError, ValidationError):
        return []


def _drawn(example: MaskExample, experiment: Experiment, images: ImageFolder) -> str:
    image = grey_image(images, example.image_id)
    folder = experiment.path / EXAMPLES.parent
    # Only the name counts: anyone may have written these paths.
    files = [folder / Path(name).name for name in (example.predicted, example.truth)]
    predicted, truth = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files)
    mode, picture = experiment.look_up("data", "resize_mode"), None
    if image is not None and truth is not None and mode in get_args(ResizeMode):
        image = Resize(truth.shape, mode).image(image)
    if not (image is None or predicted is None or truth is None or truth.shape != image.shape):
        heat = cv2.resize(predicted, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
        picture = overlay(image, heat / np.float32(255), truth, scale=(0.0, 1.0))
    details = (
        f"<span><b>{escape(example.class_name)}</b></span>",
        f"<span>Dice {number(example.dice, 2)}</span>",
        f"<span>peak {'inside' if example.peak_inside else 'outside'} the mask</span>",
    )
    return strip_figure(picture, example.image_id, *details)


def explanations(experiment: Experiment) -> str:
    """Scores and contact sheet of each explanation in the experiment's folder."""
    files = sorted(experiment.path.glob(f"explanation_*/{EXPLANATION_FILE}"))
    if not files:
        return paragraph(
            "Nothing explained yet: code/explain.py draws where the model looks, and scores it."
        )
    text = (
        "Maps are scored against the true masks, per class, next to two maps that know nothing "
        "about the image. Lower is better for deletion, higher for all others. A map that scores "
        "like the random one says nothing about the defect."
    )
    return paragraph(text) + "".join(_explanation(experiment, file) for file in files)


def _explanation(experiment: Experiment, file: Path) -> str:
    try:
        content = read_json(file)
        scores = content["scores"]
        heading = f"<h3>{escape(file.parent.name)}: {escape(str(content['method']))}</h3>"
        body = paragraph("No masks to score on.") if scores is None else _scores(experiment, scores)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return paragraph(f"{file.parent.name} cannot be read ({error!r}).")
    return heading + body + _sheet(file.with_name(SHEET_FILE))


def _scores(experiment: Experiment, scores: Mapping[str, Any]) -> str:
    rows = []
    for name, means in scores["maps"].items():
        rows.append([name, "all", *(number(means["macro"].get(key)) for key in FIGURES)])
        for cls in experiment.class_names:
            row = means["per_class"][cls]
            counted = f"{cls} ({row['num_images']})"
            rows.append(["", counted, *(number(row.get(key)) for key in FIGURES)])
    header = ("map", "class (images)", *FIGURES.values())
    text = paragraph(f"{scores['num_images']} images with masks.")
    return text + table(header, rows, text_columns=2)


def _sheet(file: Path) -> str:
    """The contact sheet, folded away, as an inline picture."""
    picture = cv2.imread(str(file))
    url = None if picture is None else data_url(picture, SHEET_WIDTH)
    image = f'<img class="sheet" alt="strips with maps" src="{url}">'
    return f"<details><summary>Pictures</summary>{image}</details>" if url else ""
