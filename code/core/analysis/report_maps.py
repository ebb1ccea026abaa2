"""The section of a report that shows where the model looks, and where it finds defects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.analysis.kept_masks import MaskExample, read_examples, strip_with_masks
from core.analysis.page import paragraph, picture, table
from core.analysis.strips import data_url, grey_image, strip_figure
from core.analysis.text_tables import class_title, number
from core.experiments.drawing import overlay
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.escaping import for_html as escape
from core.files.reading import read_json
from core.machine.fonts import names_of_numbers

MOST_EXAMPLES = 24
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
SHEET_WIDTH, SHEET_PIXELS, MOST_EXPLANATIONS = 1600, 10_000_000, 6


def where_it_looks(experiment: Experiment, images: ImageFolder) -> str:
    """The masks that the model predicts, and what code/explain.py found."""
    shown = localization(experiment, images)
    found = explanations(experiment)
    nothing = "This model predicts no masks (model.mask_head). " * (not shown)
    nothing += "Nothing explained yet: code/explain.py draws where the model looks, and scores it."
    return shown + (found or paragraph(nothing))


def localization(experiment: Experiment, images: ImageFolder) -> str:
    """Dice, IoU and pointing accuracy of the test images, and a few of them as overlays."""
    figures = experiment.look_up("test", "localization")
    if not figures:
        return ""
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
    examples = read_examples(experiment)
    shown = "".join(_drawn(example, experiment, images) for example in examples[:MOST_EXAMPLES])
    if len(examples) > MOST_EXAMPLES:
        legend += f" The first {MOST_EXAMPLES} of {len(examples)} are shown."
    header = ("class", "with mask", *COLUMNS.values())
    title = "<h3>Predicted masks</h3>"
    return title + paragraph(text) + table(header, rows) + paragraph(legend, "soft") + shown


def _drawn(example: MaskExample, experiment: Experiment, images: ImageFolder) -> str:
    image, drawn = grey_image(images, example.image_id), None
    if image is not None:
        strip, predicted, truth = strip_with_masks(experiment, image, example)
        if predicted is not None and truth is not None:
            drawn = overlay(strip, predicted / np.float32(255), truth, scale=(0.0, 1.0))
    details = (
        f"<span><b>{escape(example.class_name)}</b></span>",
        f"<span>Dice {number(example.dice, 2)}</span>",
        f"<span>peak {'inside' if example.peak_inside else 'outside'} the mask</span>",
    )
    return strip_figure(drawn, example.image_id, *details)


def explanations(experiment: Experiment) -> str:
    """Scores and contact sheet of each explanation in the experiment's folder."""
    files = sorted(experiment.path.glob(f"explanation_*/{EXPLANATION_FILE}"))
    if not files:
        return ""
    text = (
        "Maps are scored against the true masks, per class, next to two maps that know nothing "
        "about the image. Lower is better for deletion, higher for all others. A map that scores "
        "like the random one says nothing about the defect."
    )
    legend = names_of_numbers(experiment.class_names)
    text += f" In the pictures, {legend}." if legend else ""
    if len(files) > MOST_EXPLANATIONS:
        text += f" The first {MOST_EXPLANATIONS} of {len(files)} are shown."
    shown = "".join(_explanation(experiment, file) for file in files[:MOST_EXPLANATIONS])
    return f"<h3>Explanations</h3>{paragraph(text)}{shown}"


def _explanation(experiment: Experiment, file: Path) -> str:
    try:
        content = read_json(file)
        scores = content["scores"]
        heading = f"<h4>{escape(file.parent.name)}: {escape(str(content['method']))}</h4>"
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
    sheet = cv2.imread(str(file))
    url = None if sheet is None else data_url(sheet, SHEET_WIDTH, SHEET_PIXELS)
    shown = picture(url, "strips with maps") if url else ""
    return f"<details><summary>Pictures</summary>{shown}</details>" if url else ""
