"""Masks that are lost between the pixels of a resized image."""

import logging
from functools import lru_cache

import numpy as np

from core.data.label_table import LabelTable
from core.errors import InputError

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def check_resized_masks(table: LabelTable) -> None:
    """Warn of masks that `data.resize` loses; call it where masks are used.

    Raises:
        InputError: it loses every mask of a class.
    """
    found = count_lost_masks(table)
    if not any(lost for lost, _ in found.values()):
        return
    resize = f"data.resize=[{','.join(map(str, table.masks.resize.size))}]"
    for name, (lost, total) in found.items():
        if lost == total > 0:
            which = "the only mask" if total == 1 else f"each of the {total} masks"
            raise InputError(
                f"{resize}: would erase {which} of {name}, since they lie between the pixels that "
                "are kept: give a larger size"
            )
    _log.warning(
        "%s: masks that lie between the pixels that are kept, and shrink to the pixels that they "
        "touch: %s",
        resize,
        ", ".join(f"{n} of {total} of {name}" for name, (n, total) in found.items() if n),
    )


def count_lost_masks(table: LabelTable) -> dict[str, tuple[int, int]]:
    """How many masks of each class have no pixel among those kept by the resize, and their number.

    Empty where nothing is resized.
    """
    masks = table.masks
    if masks is None or masks.resize is None:
        return {}
    shown = np.zeros((2, len(table.class_names)), np.int64)
    for index, codes in masks.codes.items():
        if codes and index not in masks.missing:
            stored = masks.stored(index)
            present = stored.any(axis=(1, 2))
            shown += present & ~masks.resize.keeps(stored), present
    return dict(zip(table.class_names, zip(*shown.tolist(), strict=True), strict=True))
