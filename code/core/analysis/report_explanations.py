"""The part of a report that shows where the model looks, where code/explain.py was run."""

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import cv2

from core.analysis.page import paragraph, table
from core.experiments.reading import Experiment
from core.files.reading import read_json

EXPLANATION_FILE, SHEET_FILE = "explanation.json", "contact_sheet.jpg"
FIGURES = {
    "pointing_accuracy": "peak on the defect",
    "energy_inside": "share inside",
    "deletion": "deletion",
    "insertion": "insertion",
}
SHEET_WIDTH = 1000
JPEG_QUALITY = 75


def explanations(experiment: Experiment) -> str:
    """Scores and contact sheet of each explanation in the experiment's folder."""
    files = sorted(experiment.path.glob(f"explanation_*/{EXPLANATION_FILE}"))
    if not files:
        return paragraph(
            "Nothing explained yet: code/explain.py draws where the model looks, and scores it."
        )
    text = (
        "Maps scored on the true masks, per class and beside two maps that know nothing of the "
        "image. Deletion is better the lower, all else the higher. A map like the random one "
        "shows nothing of the defect."
    )
    return paragraph(text) + "".join(_explanation(experiment, file) for file in files)


def _explanation(experiment: Experiment, file: Path) -> str:
    try:
        content = read_json(file)
        scores = content["scores"]
        heading = f"<h3>{escape(file.parent.name)}: {escape(content['method'])}</h3>"
        body = paragraph("No masks to score on.") if scores is None else _scores(experiment, scores)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return paragraph(f"{file.parent.name} cannot be read ({error!r}).")
    return heading + body + _sheet(file.with_name(SHEET_FILE))


def _scores(experiment: Experiment, scores: Mapping[str, Any]) -> str:
    rows = []
    for name, means in scores["maps"].items():
        rows.append([name, "all", *(_number(means["macro"].get(key)) for key in FIGURES)])
        for cls in experiment.class_names:
            row = means["per_class"][cls]
            number = f"{cls} ({row['num_images']})"
            rows.append(["", number, *(_number(row.get(key)) for key in FIGURES)])
    header = ("map", "class (images)", *FIGURES.values())
    return paragraph(f"{scores['num_images']} images with masks.") + table(
        header, rows, text_columns=2
    )


def _sheet(file: Path) -> str:
    """The contact sheet, folded away, as an inline picture."""
    picture = cv2.imread(str(file))
    if picture is None:
        return ""
    height, width = picture.shape[:2]
    if width > SHEET_WIDTH:
        size = (SHEET_WIDTH, round(height * SHEET_WIDTH / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    data = base64.b64encode(content.tobytes()).decode("ascii")
    return (
        "<details><summary>Pictures</summary>"
        f'<img style="width:100%" alt="strips with maps" src="data:image/jpeg;base64,{data}">'
        "</details>"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
