"""The section of a report that shows where the model looks, where code/explain.py was run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from core.analysis.page import paragraph, table
from core.analysis.strips import data_url
from core.analysis.text_tables import number
from core.experiments.reading import Experiment
from core.files.escaping import for_html as escape
from core.files.reading import read_json

EXPLANATION_FILE, SHEET_FILE = "explanation.json", "contact_sheet.jpg"
FIGURES = {
    "pointing_accuracy": "peak on the defect",
    "energy_inside": "share inside",
    "deletion": "deletion",
    "insertion": "insertion",
}
SHEET_WIDTH = 1000


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
