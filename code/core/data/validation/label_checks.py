"""Labels of a data set read to the end, and held against its other sources."""

from pathlib import Path

import numpy as np

from core.data.annotations import LabelTable, find_sources, read_labels
from core.data.contradictions import contradictions
from core.data.mistakes import CollectedMistakes
from core.data.settings import DataSettings
from core.data.validation.findings import Findings
from core.errors import InputError

_CONTRADICTION = "labels contradict masks"


def read_all_labels(root: Path, settings: DataSettings, findings: Findings) -> LabelTable | None:
    """The table that training would read, without what is wrong in it; None where it has none."""
    mistakes = CollectedMistakes()
    try:
        source = find_sources(root)[0]
        return read_labels(root, source, settings.class_names, settings.image_size, mistakes)
    except InputError as error:
        findings.add_mistakes([error], "data set")
        return None
    finally:
        findings.add_mistakes(mistakes.found, "wrong label")


def compare_sources(
    root: Path, table: LabelTable, settings: DataSettings, findings: Findings
) -> list[str]:
    """Hold the table against what else labels the same images, and return what that was.

    A class that one source names and of which the other has no pixel is an error: one of them is
    wrong. What cannot be read of a source that training does not read is a warning.
    """
    compared = []
    for source in find_sources(root)[1:]:
        mistakes = CollectedMistakes()
        try:
            other = read_labels(root, source, table.class_names, settings.image_size, mistakes)
            if other.image_ids != table.image_ids:
                raise InputError(f"{root / source}: labels other images than {table.source}")
        except InputError as error:
            mistakes.found.append(error)
        for mistake in mistakes.found:
            findings.add("warning", "source that training does not read", str(mistake))
        if not mistakes.found:
            compared.append(source)
            for found in contradictions(table, other):
                findings.add("error", _CONTRADICTION, f"{found}; one of them is wrong")
    return compared


def check_masks(table: LabelTable, areas: dict[int, np.ndarray], findings: Findings) -> None:
    """Hold the labels against the pixels of their own masks, by position of the image."""
    for index, area in areas.items():
        for column in np.flatnonzero(table.labels[index].astype(bool) != (area > 0)):
            name, image_id = table.class_names[column], table.image_ids[index]
            has = f"{area[column]} pixels" if area[column] else "no pixel"
            findings.add(
                "error",
                _CONTRADICTION,
                f"{image_id}: {name}={table.labels[index, column]}, but {has} in {table.source}",
            )
