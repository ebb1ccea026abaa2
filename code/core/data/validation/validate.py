"""The validation of a data set: everything that is wrong with it, not the first thing only."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.data.annotations import LabelTable, find_sources, images_of
from core.data.duplicates import duplicate_groups, find_duplicate_pairs
from core.data.mistakes import Mistakes
from core.data.settings import DataSettings
from core.data.splitting import split_by_strategy
from core.data.validation.findings import Findings
from core.data.validation.inspection import Inspection, descriptors_of, inspect_images
from core.data.validation.label_checks import check_masks, compare_sources, read_all_labels
from core.data.validation.strip_checks import check_strips
from core.errors import InputError


@dataclass(frozen=True, eq=False)
class Validation:
    """What was found of a data set.

    `table` is what could be read of its labels, None without any; `inspections` stand in the
    order of `paths`, and so does the table.
    """

    root: Path
    settings: DataSettings
    findings: Findings
    paths: tuple[Path, ...]
    inspections: list[Inspection]
    table: LabelTable | None
    compared_sources: list[str] = field(default_factory=list)
    duplicate_pairs: list[tuple[int, int]] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Training would take the data."""
        return not self.findings.count("error")


def validate_data(root: Path, settings: DataSettings) -> Validation:
    """Check every row and every image of the data set in `root`, by the readers of training.

    An image that cannot be used is an error, or with `settings.on_bad_image="skip"` a warning.
    Images are checked in `settings.num_workers` threads, one per core with 0.
    """
    findings = Findings()
    table = read_all_labels(root, settings, findings)
    paths = table.image_paths if table is not None else _images_alone(root)
    masks = table.masks if table is not None else None

    def masks_of(index: int) -> np.ndarray | None:
        return masks[index] if masks is not None and table.labels[index].any() else None

    workers = settings.num_workers or os.cpu_count() or 1
    inspections = inspect_images(paths, settings.image_size, masks_of, workers)
    level = "warning" if settings.on_bad_image == "skip" else "error"
    broken = {index: i.error for index, i in enumerate(inspections) if i.error is not None}
    findings.add_mistakes(broken.values(), "image that cannot be decoded", level)
    if paths and len(broken) == len(paths):
        findings.add("error", "data set", f"{root}: none of {len(paths)} images can be used")
    check_strips(paths, inspections, findings)
    validation = Validation(root, settings, findings, paths, inspections, table)
    if table is None:
        return validation
    areas = {i: one.masks.areas for i, one in enumerate(inspections) if one.masks is not None}
    check_masks(table, areas, findings)
    validation.compared_sources.extend(compare_sources(root, table, settings, findings))
    validation.duplicate_pairs.extend(_duplicates(table, inspections, settings, findings))
    if validation.usable:
        _check_split(validation, broken)
    return validation


def _images_alone(root: Path) -> tuple[Path, ...]:
    """The images of a data set whose labels cannot be read at all."""
    try:
        return images_of(root, find_sources(root)[0], Mistakes())
    except InputError:
        return ()


def _duplicates(
    table: LabelTable,
    inspections: list[Inspection],
    settings: DataSettings,
    findings: Findings,
) -> list[tuple[int, int]]:
    whole = [index for index, one in enumerate(inspections) if one.error is None]
    if not settings.group_duplicates or not whole:
        return []
    found = find_duplicate_pairs(descriptors_of([inspections[index] for index in whole]))
    pairs = [(whole[first], whole[second]) for first, second in found]
    for pair in pairs:
        (first, ones), (second, others) = ((table.image_ids[i], table.label_set(i)) for i in pair)
        if ones != others:
            findings.add(
                "warning",
                "near-duplicates with other labels",
                f"{first} ({'+'.join(ones) or 'clean'}) and {second} "
                f"({'+'.join(others) or 'clean'}) show the same steel",
            )
    return pairs


def _check_split(validation: Validation, broken: dict[int, InputError]) -> None:
    """Try the split that training would make; which seed makes it does not matter here."""
    table, settings = validation.table, validation.settings
    groups = duplicate_groups(len(table), validation.duplicate_pairs)
    kept = [index for index in range(len(table)) if index not in broken]
    if broken:
        table = table.without({index: str(error) for index, error in broken.items()})
    try:
        split_by_strategy(table, settings.split_strategy, 0, settings.split_file, groups[kept])
    except InputError as error:
        validation.findings.add("error", "split", str(error))
