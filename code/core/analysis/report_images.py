"""The sections of a report about single images: mistakes, doubtful labels, near-duplicates."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.analysis.label_errors import rank_label_errors
from core.analysis.label_sets import set_names
from core.analysis.page import paragraph, table
from core.analysis.strips import confident_mistakes, read_image, strip
from core.analysis.text_tables import number
from core.errors import InputError
from core.experiments.predictions import Predictions
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.reading import MEBIBYTE, bounded_lines, opened
from core.files.spreadsheet import original

DUPLICATES_FILE = "duplicates.csv"
MOST_MISTAKES = 8
MOST_SUSPECTS = 12
MOST_PAIRS = 50
LEGEND = (
    "Each tag is a class with its probability: bold where it is labelled, shaded where the "
    "prediction at 0.5 is wrong."
)
_MOST_BYTES = 256 * MEBIBYTE
_LONGEST_LINE = MEBIBYTE // 8


def mistakes(experiment: Experiment, test: Predictions, images: ImageFolder) -> str:
    """Test images where the model was most confident, and wrong."""
    html = [paragraph(LEGEND, "soft")]
    for title, missed in (("Missed defects", True), ("False alarms", False)):
        rows = confident_mistakes(test, missed, MOST_MISTAKES)
        html.append(f"<h3>{title}</h3>")
        for row in rows:
            image = read_image(images, test.image_ids[row])
            html.append(strip(image, test, row, experiment.class_names))
        if not rows:
            html.append(paragraph("None."))
    return "".join(html)


def suspects(experiment: Experiment, parts: Mapping[str, Predictions], images: ImageFolder) -> str:
    """Held-out images whose label the model contradicts most."""
    names = experiment.class_names
    ranked = [
        (split, suspect)
        for split, part in parts.items()
        for suspect in rank_label_errors(part.image_ids, part.labels, part.probabilities, names)
    ]
    ranked.sort(key=lambda entry: -entry[1].disagreement)
    html = [
        paragraph(
            "Validation and test images, by how far the calibrated probability is from the label. "
            "Either the label or the model is wrong: look before you change anything."
        )
    ]
    for split, suspect in ranked[:MOST_SUSPECTS]:
        part = parts[split]
        labelled = f"{suspect.class_name} {'' if suspect.labelled else 'not '}labelled"
        remark = f"{split}; {labelled}, disagreement {number(suspect.disagreement)}"
        row, image = part.image_ids.index(suspect.image_id), read_image(images, suspect.image_id)
        html.append(strip(image, part, row, names, remark))
    return "".join(html)


def duplicates(experiment: Experiment, parts: Mapping[str, Predictions]) -> str:
    """Pairs of near-duplicate images, those with different labels first."""
    pairs = read_duplicates(experiment.path / DUPLICATES_FILE)
    if pairs is None:
        return paragraph("This experiment did not look for near-duplicates.")
    if not pairs:
        return paragraph("No near-duplicates were found.")
    known = {}
    for split, part in parts.items():
        names = set_names(part.labels, experiment.class_names)
        known |= {image: (split, name) for image, name in zip(part.image_ids, names, strict=True)}
    rows = []
    for pair in pairs:
        cells: list[Any] = []
        for side in ("first", "second"):
            image = pair[side]
            split, labels = known.get(image, (pair.get(f"{side}_split") or "train", None))
            cells += [(image, split), labels or pair.get(f"{side}_labels") or "not recorded"]
        differ = "not recorded" not in cells and cells[1] != cells[3]
        rows.append([*cells, "different" if differ else ""])
    rows.sort(key=lambda row: not row[-1])
    contradictory = sum(row[-1] != "" for row in rows)
    text = f"{len(rows)} pairs, {contradictory} of them with different labels."
    text += f" The first {MOST_PAIRS} are shown." if len(rows) > MOST_PAIRS else ""
    header = ("first", "label set", "second", "label set", "labels")
    return paragraph(text) + table(header, rows[:MOST_PAIRS], text_columns=5)


def read_duplicates(file: Path) -> list[dict[str, str]] | None:
    """Rows of duplicates.csv, which names at least `first` and `second`; None without the file.

    Raises:
        InputError: the file has other columns.
    """
    if not file.is_file():
        return None
    with opened(file, _MOST_BYTES) as stream:
        reader = csv.reader(bounded_lines(stream, file, _LONGEST_LINE))
        try:
            header, *rows = reader
        except (csv.Error, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{file}: not a CSV file with a header ({error})") from None
    if not {"first", "second"} <= set(header):
        raise InputError(f"{file}: columns {', '.join(header)[:80]}; expected first and second")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{file} row {line}: {len(row)} values; expected {len(header)}")
    return [dict(zip(header, map(original, row), strict=True)) for row in rows]
