"""The parts of a report that show single images: mistakes, doubtful labels, near-duplicates."""

from collections.abc import Mapping
from pathlib import Path

from core.analysis.label_errors import rank_label_errors
from core.analysis.label_sets import set_names
from core.analysis.page import paragraph, table
from core.analysis.strips import confident_mistakes, picture, strip
from core.experiments.predictions import Predictions
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.files.tables import read_records

DUPLICATES_FILE = "duplicates.csv"
MOST_MISTAKES = 8
MOST_SUSPECTS = 12
MOST_PAIRS = 50


def mistakes(experiment: Experiment, test: Predictions, images: ImageFolder) -> str:
    """Test images where the model was surest and wrong."""
    html = []
    for title, missed in (("Missed defects", True), ("False alarms", False)):
        rows = confident_mistakes(test, missed, MOST_MISTAKES)
        html.append(f"<h3>{title}</h3>")
        html += [_strip(experiment, test, row, images) for row in rows]
        if not rows:
            html.append(paragraph("None."))
    return _LEGEND + "".join(html)


def suspects(experiment: Experiment, parts: Mapping[str, Predictions], images: ImageFolder) -> str:
    """Held-out images whose label the model contradicts most."""
    ranked = []
    for split, part in parts.items():
        names = experiment.class_names
        for suspect in rank_label_errors(part.image_ids, part.labels, part.probabilities, names):
            ranked.append((suspect.disagreement, split, suspect))
    ranked.sort(key=lambda entry: -entry[0])
    html = [
        paragraph(
            "Validation and test images, by how far the calibrated probability is from the label. "
            "Either the label or the model is wrong: look before you change anything."
        )
    ]
    for disagreement, split, suspect in ranked[:MOST_SUSPECTS]:
        part = parts[split]
        row = part.image_ids.index(suspect.image_id)
        says = "labelled" if suspect.labelled else "not labelled"
        remark = f"{split}; {suspect.class_name} {says}, disagreement {disagreement:.3f}"
        html.append(_strip(experiment, part, row, images, remark))
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
        cells, sets = [], []
        for side in ("first", "second"):
            image = pair[side]
            split, labels = known.get(image, (pair.get(f"{side}_split") or "train", None))
            labels = labels or pair.get(f"{side}_labels") or "not recorded"
            sets.append(labels)
            cells += [(image, split), labels]
        differ = "not recorded" not in sets and sets[0] != sets[1]
        rows.append((not differ, [*cells, "different" if differ else ""]))
    rows.sort(key=lambda row: row[0])
    contradictory = sum(not same for same, _ in rows)
    text = f"{len(rows)} pairs, {contradictory} of them with different labels."
    header = ("first", "label set", "second", "label set", "labels")
    shown = [row for _, row in rows[:MOST_PAIRS]]
    rest = f" The first {MOST_PAIRS} are shown." if len(rows) > MOST_PAIRS else ""
    return paragraph(text + rest) + table(header, shown, text_columns=5)


def read_duplicates(file: Path) -> list[dict[str, str]] | None:
    """Rows of duplicates.csv, which names at least `first` and `second`; None without the file.

    Raises:
        InputError: as for `read_records`.
    """
    if not file.is_file():
        return None
    return [row for _, row in read_records(file, ("first", "second"))]


_LEGEND = paragraph(
    "Each tag is a class with its probability: bold where it is labelled, shaded where the "
    "prediction at 0.5 is wrong.",
    "soft",
)


def _strip(
    experiment: Experiment, part: Predictions, row: int, images: ImageFolder, remark: str = ""
) -> str:
    image = part.image_ids[row]
    return strip(
        image,
        picture(images, image),
        part.labels[row].tolist(),
        part.probabilities[row].tolist(),
        experiment.class_names,
        remark,
    )
