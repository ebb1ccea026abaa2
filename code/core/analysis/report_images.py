"""The sections of a report about single images: mistakes, doubtful labels, near-duplicates."""

from collections.abc import Mapping
from typing import Any

from core.analysis.decisions import Decisions
from core.analysis.kept_masks import read_mistakes, with_outlines
from core.analysis.label_errors import rank_label_errors
from core.analysis.label_sets import set_names
from core.analysis.page import paragraph, table
from core.analysis.strips import grey_image, strip
from core.analysis.text_tables import number
from core.experiments.predictions import Predictions
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.tables import read_records
from core.metrics.mistakes import confident_mistakes

DUPLICATES_FILE = "duplicates.csv"
MOST_SUSPECTS = 12
MOST_PAIRS = 50
LEGEND = (
    "Each tag is a class with its probability: bold where it is labelled, shaded where the "
    "prediction at the chosen threshold is wrong."
)
OUTLINES = (
    "Outlines: cyan is the true mask, orange is what the model predicts with a probability of at "
    "least 0.5 per pixel, where masks are known; all classes together."
)


def mistakes(experiment: Experiment, test: Decisions, images: ImageFolder) -> str:
    """Test images where the model was most confident, and wrong."""
    kept = read_mistakes(experiment)
    html = [paragraph(LEGEND, "soft")]
    html += [paragraph(OUTLINES, "soft")] if kept else []
    for title, missed in (("Missed defects", True), ("False alarms", False)):
        rows = confident_mistakes(test.found, missed)
        html.append(f"<h3>{title}</h3>")
        for row in rows:
            image_id = test.image_ids[row]
            image = grey_image(images, image_id)
            if image is not None and image_id in kept:
                image = with_outlines(experiment, image, kept[image_id])
            html.append(strip(image, test, row))
        if not rows:
            html.append(paragraph("None."))
    return "".join(html)


def suspects(parts: Mapping[str, Decisions], images: ImageFolder) -> str:
    """Held-out images whose label the model contradicts most."""
    ranked = [
        (split, suspect)
        for split, part in parts.items()
        for suspect in rank_label_errors(
            part.image_ids, part.labels, part.probabilities, part.class_names
        )
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
        row, image = part.image_ids.index(suspect.image_id), grey_image(images, suspect.image_id)
        html.append(strip(image, part, row, remark))
    return "".join(html)


def duplicates(experiment: Experiment, parts: Mapping[str, Predictions]) -> str:
    """Pairs of near-duplicate images, those with different labels first."""
    file = experiment.path / DUPLICATES_FILE
    if not file.is_file():
        return paragraph("This experiment did not look for near-duplicates.")
    pairs = [row for _, row in read_records(file, ("first", "second"))]
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
