"""Which columns of a labels.csv are classes, and the 0/1 values in them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.data.image_ids import Notices
from core.errors import InputError
from core.files.names import check_class_names
from core.validation import nearest

IMAGE_ID = "ImageId"
_VALUES = {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}
# The index of a table, as pandas names it when it reads its own file again.
_INDEX = re.compile(r"Unnamed: [\d.]+")


class LabelColumns:
    """The columns that are or may be classes, filled row by row."""

    def __init__(
        self,
        path: Path,
        header: list[str],
        class_names: Sequence[str] | None,
        num_images: int,
        notices: Notices,
    ) -> None:
        """The columns that `class_names` chooses, in its order; None: all that hold 0 or 1.

        Raises:
            InputError: no ImageId, no other column, or a class without a column of its own.
        """
        if header.count(IMAGE_ID) != 1 or len(header) < 2:
            raise InputError(
                f"{path} line 1: header {','.join(header)[:80]!r}; expected ImageId and one "
                "column per class, such as ImageId,scratch,pit"
            )
        self.path, self.notices, self.chosen = path, notices, class_names
        self.id_place = header.index(IMAGE_ID)
        places = [place for place in range(len(header)) if place != self.id_place]
        index = [p for p in places if _is_index(header[p], before=p < self.id_place)]
        if index:
            notices.add("an index, not read", f"column {index[0] + 1}")
        places = [place for place in places if place not in index]
        if class_names is not None:
            places = self._choose(header, places, class_names)
        self.places, self.names = places, [header[place] for place in places]
        self.labels = np.zeros((num_images, len(places)), np.uint8)
        self._num_usable = [0] * len(places)
        self._unusable: list[list[tuple[str, str]]] = [[] for _ in places]

    def _choose(
        self, header: list[str], places: list[int], class_names: Sequence[str]
    ) -> list[int]:
        found = [header[place] for place in places]
        for name in class_names:
            if name not in found:
                raise InputError(
                    f"{self.path}: no column {name!r}{nearest(name, found)}; expected the classes "
                    f"{', '.join(class_names)} among its columns: {', '.join(found)[:400]}"
                )
        check_class_names([name for name in found if name in class_names], f"{self.path} line 1")
        extra = [name or "one without a name" for name in found if name not in class_names]
        if extra:
            self.notices.add("columns of other names, not read", ", ".join(extra)[:200])
        return [places[found.index(name)] for name in class_names]

    def add(self, index: int, row: list[str], where: str) -> None:
        """Take the values of the image at `index`."""
        for column, place in enumerate(self.places):
            value = _VALUES.get(row[place].lower())
            if value is None:
                self._unusable[column].append((where, row[place]))
                continue
            if row[place] not in ("0", "1"):
                self.notices.add(f"{row[place]} as {value}", where)
            self.labels[index, column] = value
            self._num_usable[column] += 1

    def leave_out_text(self) -> None:
        """Leave out columns without a single 0 or 1, unless they were chosen by name.

        Raises:
            InputError: a name that is repeated or cannot be that of a class.
        """
        kept = [
            column
            for column, number in enumerate(self._num_usable)
            if number or self.chosen is not None or not self._unusable[column]
        ]
        if kept and len(kept) < len(self.names):
            left_out = [self.names[c] or "one without a name" for c in self._others(kept)]
            self.notices.add("columns without a 0 or 1, not read", ", ".join(left_out)[:200])
            self.names = [self.names[column] for column in kept]
            self.labels = self.labels[:, kept]
            self._unusable = [self._unusable[column] for column in kept]
        check_class_names(self.names, f"{self.path} line 1")

    def _others(self, kept: Sequence[int]) -> list[int]:
        return [column for column in range(len(self.names)) if column not in kept]

    def errors(self) -> Iterator[InputError]:
        """An error for each value that is neither 0 nor 1."""
        for name, cells in zip(self.names, self._unusable, strict=True):
            for where, cell in cells:
                yield InputError(
                    f"{where}: {name}={cell[:40]!r}; expected 0 or 1: mend the value, or name "
                    "the classes in data.class_names if this column is none"
                )

    def constants(self) -> Iterator[str]:
        """A line for each column that says the same of every image."""
        if len(self.labels) < 2:
            return
        remedy = "; if it is no class, name the classes in data.class_names"
        for name, values in zip(self.names, self.labels.T, strict=True):
            if values.min() == values.max():
                same = f"{self.path}: column {name} is {values[0]} in every row"
                yield same if self.chosen else same + remedy


def _is_index(name: str, before: bool) -> bool:
    return bool(_INDEX.fullmatch(name)) or (not name and before)
