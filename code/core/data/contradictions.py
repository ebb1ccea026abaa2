"""Two sources of one data set that say different things of the same image."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np


class Labels(Protocol):
    """The part of a label table that is compared; `masks` is None where it has none."""

    image_ids: Sequence[str]
    labels: np.ndarray
    class_names: Sequence[str]
    masks: Any
    source: str


def contradictions(table: Labels, other: Labels) -> Iterator[str]:
    """A sentence for each class of an image that one table names and the other does not.

    Both hold the same images and classes in the same order.
    """
    for index, column in np.argwhere(table.labels != other.labels):
        named, silent = (other, table) if other.labels[index, column] else (table, other)
        what = "pixels" if silent.masks is not None else "label"
        yield (
            f"{table.image_ids[index]}: {table.class_names[column]} is in {named.source}, but no "
            f"{what} of it in {silent.source}"
        )
