"""Labels that a review corrected, as an overlay: the files of the data set stay as they are."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.data.label_agreement import listed
from core.data.label_table import LabelTable, Masks
from core.errors import InputError
from core.validation import nearest

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corrections:
    """The decided labels of a data set, by image id and class name, and the file they are from.

    `fingerprint` is that of the data set with its given labels; None: nothing is decided.
    """

    file: Path
    fingerprint: str | None
    labels: Mapping[tuple[str, str], int]

    def sha256(self) -> str:
        """A hash of the decided labels: the same in whichever file they are, and in any order."""
        digest = hashlib.sha256()
        for (image_id, class_name), label in sorted(self.labels.items()):
            line = f"{image_id}\0{class_name}\0{label}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def corrected(table: LabelTable, corrections: Corrections) -> LabelTable:
    """The table with the decided labels, and `corrections` for results.json.

    A label that is newly set has no mask, so that none of the masks of its image are used. A label
    that is cleared loses its mask.

    Raises:
        InputError: decisions about other images or other given labels.
    """
    given = _check_fingerprint(table, corrections)
    changed = _changed(table, corrections)
    labels = table.labels.copy()
    for (row, column), label in changed.items():
        labels[row, column] = label
    labels.flags.writeable = False
    masks = None if table.masks is None else _masks(table.masks, changed)
    added = labels > table.labels
    record = {
        "file": str(corrections.file),
        "sha256": corrections.sha256(),
        "given_fingerprint": given,
        "num_decided": len(corrections.labels),
        "num_without_mask": 0 if masks is None else int(added.sum()),
        "added": _by_class(table, added),
        "removed": _by_class(table, labels < table.labels),
    }
    after = replace(table, labels=labels, masks=masks, corrections=record)
    _report(after, corrections, added)
    return after


def _by_class(table: LabelTable, changed: np.ndarray) -> dict[str, int]:
    return dict(zip(table.class_names, changed.sum(axis=0).tolist(), strict=True))


def _check_fingerprint(table: LabelTable, corrections: Corrections) -> str:
    given = table.fingerprint()
    if corrections.fingerprint not in (None, given):
        raise InputError(
            f"data.corrections={corrections.file}: was decided on the data set with fingerprint "
            f"{corrections.fingerprint[:12]}, and {table.root / table.source} has {given[:12]}: "
            "expected the same images and given labels: give the data that were reviewed, with the "
            "same keys of data, or review these"
        )
    return given


def _changed(table: LabelTable, corrections: Corrections) -> dict[tuple[int, int], int]:
    """The labels that differ from the table's, by row and column."""
    rows = {image_id: row for row, image_id in enumerate(table.image_ids)}
    columns = {name: column for column, name in enumerate(table.class_names)}
    changed = {}
    for (image_id, class_name), label in corrections.labels.items():
        for name, known, what in ((image_id, rows, "image"), (class_name, columns, "class")):
            if name not in known:
                close = nearest(name, known) if what == "class" else ""
                raise InputError(
                    f"data.corrections={corrections.file}: no {what} {name[:80]!r} in "
                    f"{table.root / table.source}{close}: remove it, or give the data that were "
                    "reviewed"
                )
        at = rows[image_id], columns[class_name]
        if table.labels[at] != label:
            changed[at] = label
    return changed


def _masks(masks: Masks, changed: Mapping[tuple[int, int], int]) -> Masks:
    codes, missing = dict(masks.codes), {row: set(at) for row, at in masks.missing.items()}
    for (row, column), label in changed.items():
        if label:
            missing.setdefault(row, set()).add(column)
        else:
            codes[row] = [(at, code) for at, code in codes.get(row, ()) if at != column]
            missing.get(row, set()).discard(column)
    lacking = {row: sorted(columns) for row, columns in missing.items() if columns}
    return replace(masks, codes=codes, missing=lacking)


def _report(after: LabelTable, corrections: Corrections, added: np.ndarray) -> None:
    _log.info(
        "data.corrections=%s: %d labels added and %d removed, of %d that were decided",
        corrections.file,
        sum(after.corrections["added"].values()),
        sum(after.corrections["removed"].values()),
        len(corrections.labels),
    )
    if after.masks is not None and added.any():
        without: dict[int, list[int]] = {}
        for row, column in np.argwhere(added).tolist():
            without.setdefault(row, []).append(column)
        _log.warning(
            "%d images have a class that was newly set, which has no mask: they are trained on "
            "their labels alone: %s",
            len(without),
            listed(after, without),
        )


def describe_corrections(table: LabelTable) -> dict[str, Any]:
    """The entry of results.json; empty where no corrections were applied."""
    return {"corrections": dict(table.corrections)} if table.corrections else {}
