"""The validation of a data set: every error in it, not only the first."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.data.annotations import read_labels, read_other_labels
from core.data.bit_depth import find_bit_depth
from core.data.duplicate_groups import duplicate_groups
from core.data.duplicates import find_duplicate_pairs
from core.data.image_folder import describe_exceptions
from core.data.label_agreement import contradictions, labels_without_masks, with_missing_masks
from core.data.label_table import LabelTable
from core.data.settings import DataSettings
from core.data.sources import COMPARED_SOURCES, find_sources, image_folder, list_images
from core.data.splitting import split_by_strategy
from core.data.strip_hash import StripDescriptors
from core.data.validation.findings import (
    CONTRADICTION,
    READ_AS_MEANT,
    Finding,
    Level,
    of_duplicates,
    of_errors,
    of_masks,
    of_missing_masks,
    of_resized_masks,
    of_strips,
    of_training_part,
)
from core.data.validation.inspection import Inspection, inspect_images
from core.errors import InputError
from core.files.resizing import Resize, Size


@dataclass(frozen=True, eq=False)
class Validation:
    """What was found in a data set.

    `table` holds the labels that could be read, None if there are none; it and `inspections` are
    in the order of `paths`.
    """

    root: Path
    settings: DataSettings
    paths: tuple[Path, ...]
    inspections: list[Inspection]
    table: LabelTable | None
    findings: list[Finding]
    compared_sources: list[str] = field(default_factory=list)
    duplicate_pairs: list[tuple[int, int]] = field(default_factory=list)

    def count(self, level: Level) -> int:
        """How many findings have that level."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def usable(self) -> bool:
        """Whether training would take the data."""
        return not self.count("error")


def validate_data(root: Path, settings: DataSettings) -> Validation:
    """Check every row and every image of the data set in `root`, with the readers of training.

    An image that cannot be used is an error, or with `settings.on_bad_image="skip"` a warning.
    Images are checked in `settings.num_workers` threads, one per core with 0 or `auto`.
    """
    findings: list[Finding] = []
    table, compared = _read_labels(root, settings, findings), []
    if table is not None:
        table, compared = _compare_sources(table, settings, findings)
    paths = table.image_paths if table is not None else _images_alone(root)
    threads = settings.workers or os.cpu_count() or 1
    try:
        bit_depth = find_bit_depth(paths, settings.bit_depth, _size(settings))
        settings = settings.model_copy(update={"bit_depth": bit_depth})
    except InputError as error:
        findings += of_errors([error], "image of another bit depth")
    inspections = inspect_images(paths, settings.image_format, table, threads)
    broken = {index: i.error for index, i in enumerate(inspections) if i.error is not None}
    level = "warning" if settings.on_bad_image == "skip" else "error"
    findings += of_errors(broken.values(), "image that cannot be decoded", level)
    if paths and len(broken) == len(paths):
        message = f"{root}: none of {len(paths)} images can be used"
        findings.append(Finding("error", "data set", message))
    findings += of_strips(paths, inspections)
    validation = Validation(root, settings, paths, inspections, table, findings, compared)
    if table is not None:
        findings += of_masks(table, inspections)
        findings += of_resized_masks(table)
        validation.duplicate_pairs.extend(_find_duplicates(validation))
        findings += of_duplicates(table, validation.duplicate_pairs)
        if validation.usable:
            _check_split(validation, broken)
    return validation


def _read_labels(root: Path, settings: DataSettings, findings: list[Finding]) -> LabelTable | None:
    """The table that training would read, without its errors; None if there is none."""
    errors: list[InputError] = []
    try:
        source = find_sources(root)[0]
        if exceptions := describe_exceptions(image_folder(root, source)):
            findings.append(Finding("warning", "image folder", exceptions))
        table = read_labels(root, source, settings.class_names, _size(settings), errors)
    except InputError as error:
        findings += of_errors([error], "data set")
        return None
    finally:
        findings += of_errors(errors, "wrong label")
    findings += (Finding("warning", READ_AS_MEANT, notice) for notice in table.notices)
    return table


def _size(settings: DataSettings) -> Size | Resize:
    return settings.image_format.image_size


def _images_alone(root: Path) -> tuple[Path, ...]:
    """The images of a data set of which no label can be read."""
    with suppress(InputError):
        return tuple(list_images(root, find_sources(root)[0]).values())
    return ()


def _compare_sources(
    table: LabelTable, settings: DataSettings, findings: list[Finding]
) -> tuple[LabelTable, list[str]]:
    """Compare the table with the other sources of the same labels, and name those.

    A class that only one of two sources shows is an error if training compares them too, and
    what cannot be read in the other source is a warning. The table is returned with the labels
    without a mask that training accepts.
    """
    compared, root = [], table.root
    for source in find_sources(root)[1:]:
        errors: list[InputError] = []
        try:
            other = read_other_labels(root, source, table, _size(settings), errors)
        except InputError as error:
            errors.append(error)
        for error in errors:
            findings.append(Finding("warning", "source that training does not read", str(error)))
        if errors:
            continue
        compared.append(source)
        level = "error" if source in COMPARED_SOURCES else "warning"
        for found in contradictions(table, other):
            findings.append(Finding(level, CONTRADICTION, f"{found}; one of them is wrong"))
        if missing := labels_without_masks(table, other):
            findings += of_missing_masks(table, source, missing, settings.missing_masks)
            table = with_missing_masks(table, missing)
    return table, compared


def _find_duplicates(validation: Validation) -> list[tuple[int, int]]:
    reliefs = {i: one.relief for i, one in enumerate(validation.inspections) if one.relief}
    if not validation.settings.group_duplicates or not reliefs:
        return []
    whole, found = list(reliefs), find_duplicate_pairs(StripDescriptors.of(reliefs.values()))
    return [(whole[first], whole[second]) for first, second in found]


def _check_split(validation: Validation, broken: dict[int, InputError]) -> None:
    """Try the split that training would make, and the class weights that it computes from it.

    The seed does not matter here.
    """
    table, settings = validation.table, validation.settings
    groups = duplicate_groups(len(table), validation.duplicate_pairs)
    kept = [index for index in range(len(table)) if index not in broken]
    if broken:
        table = table.without({index: str(error) for index, error in broken.items()})
    try:
        split = split_by_strategy(
            table, settings.split_strategy, 0, settings.split_file, groups[kept]
        )
    except InputError as error:
        validation.findings.append(Finding("error", "split", str(error)))
    else:
        validation.findings.extend(of_training_part(table, split["train"]))
