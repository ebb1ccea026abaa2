"""The labels that an experiment trained on: those of its data set, as its config changes them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.data.corrections import Corrections, corrected
from core.data.label_agreement import without_masks_of
from core.data.label_table import LabelTable
from core.data.weak_supervision import flip_labels
from core.errors import InputError

_log = logging.getLogger(__name__)

ReadCorrections = Callable[[Path], Corrections]


def as_trained_on(
    table: LabelTable,
    results: Mapping[str, Any],
    read_corrections: ReadCorrections,
    is_moved: bool = False,
) -> LabelTable:
    """The table with `unused_masks`, `label_noise` and `corrections` of this results.json.

    The table has the classes of the experiment, in their order. What is moved may be another data
    set, whose labels stay as they are.

    Raises:
        InputError: a data set that has changed since, or corrections that cannot be read.
    """
    data = (results.get("config") or {}).get("data") or {}
    record = results.get("data") or {}
    unused = data.get("unused_masks") or ()
    if is_moved:
        unused = _with_known_masks(table, unused)
    table = without_masks_of(table, unused)
    corrections = data.get("corrections")
    if not corrections and not data.get("label_noise"):
        return table
    before = (record.get("corrections") or {}).get("given_fingerprint") or record.get("fingerprint")
    try:
        given = _with_noise(_without_skipped(table, record), data)
    except InputError:
        if is_moved:
            return table
        raise
    if is_moved and given.fingerprint() != before:
        return table
    if not corrections:
        return given
    after = corrected(given, read_corrections(Path(corrections)))
    if change := decided_since(after, results):
        _log.warning("%s", change)
    return after


def decided_since(table: LabelTable, results: Mapping[str, Any]) -> str | None:
    """A sentence, where the corrections of this table are not those that were trained on."""
    known = ((results.get("data") or {}).get("corrections") or {}).get("sha256")
    if not table.corrections or known in (None, table.corrections["sha256"]):
        return None
    return (
        f"data.corrections={table.corrections['file']}: has other decisions than at the training; "
        "labels and masks are those that are decided now"
    )


def _with_known_masks(table: LabelTable, image_ids: list[str]) -> list[str]:
    if table.masks is None:
        return []
    shown = dict(zip(table.image_ids, table.labels.any(axis=1), strict=True))
    return [image_id for image_id in image_ids if shown.get(image_id)]


def _without_skipped(table: LabelTable, record: Mapping[str, Any]) -> LabelTable:
    """The table without the images that `data.on_bad_image=skip` left out of the training."""
    skipped = {one["image_id"]: one.get("reason") for one in record.get("skipped_images") or ()}
    rows = {row: skipped[each] for row, each in enumerate(table.image_ids) if each in skipped}
    return table.without(rows) if rows else table


def _with_noise(table: LabelTable, data: Mapping[str, Any]) -> LabelTable:
    # The corrections were decided on labels that are wrong on purpose as well.
    share, kind = data.get("label_noise") or 0, data.get("label_noise_kind") or "uniform"
    return flip_labels(table, share, data.get("generation_seed") or 0, kind)
