"""The label table: which images there are, and which defect classes each of them shows."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import InputError
from core.files.resizing import Resize, Size


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of a table's images, decoded when they are asked for.

    `codes` holds the column of a class and the code of its mask, by position of the image; they
    were checked when the table was read. `draw(plane, code)` adds a mask to a plane uint8 (H, W).
    With `resize`, they are drawn in the `stored_sizes` of the images, and resized as these are.
    `missing` holds the columns of the labels without a mask, by position of the image: the masks
    of such an image are not known at all, since an empty mask would say that it is clean.
    Shape: uint8 (C, H, W) for each image.
    """

    codes: Mapping[int, Sequence[tuple[int, Any]]]
    shape: tuple[int, int, int]
    draw: Callable[[np.ndarray, Any], None]
    resize: Resize | None = None
    stored_sizes: Sequence[Size] = ()
    missing: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def __getitem__(self, index: int) -> np.ndarray | None:
        """The masks of an image, as it is read; None where one of them is missing."""
        if index in self.missing:
            return None
        masks = self.stored(index)
        is_ready = self.resize is None or masks.shape == self.shape
        return masks if is_ready else self.resize.masks(masks)

    def stored(self, index: int) -> np.ndarray:
        """The masks that an image has, in the size of its file if there are any."""
        codes, shape = self.codes.get(index, ()), self.shape
        if self.resize is not None and codes:
            shape = (shape[0], *self.stored_sizes[index])
        masks = np.zeros(shape, np.uint8)
        for column, code in codes:
            self.draw(masks[column], code)
        return masks

    def resized(self, resize: Resize, stored_sizes: Sequence[Size]) -> "Masks":
        """The masks of images that are resized from these sizes."""
        shape = (self.shape[0], *resize.size)
        return replace(self, shape=shape, resize=resize, stored_sizes=stored_sizes)

    def take(self, indices: Sequence[int]) -> "Masks":
        """The masks of the images at these positions."""
        codes = {new: self.codes.get(old, ()) for new, old in enumerate(indices)}
        sizes = [self.stored_sizes[old] for old in indices] if self.stored_sizes else ()
        missing = {new: self.missing[old] for new, old in enumerate(indices) if old in self.missing}
        return replace(self, codes=codes, stored_sizes=sizes, missing=missing)

    def reorder(self, columns: Sequence[int]) -> "Masks":
        """The masks with the classes at these columns, all of them, in this order."""
        new = {old: column for column, old in enumerate(columns)}
        codes = {
            index: [(new[column], code) for column, code in masks]
            for index, masks in self.codes.items()
        }
        missing = {index: [new[c] for c in lacking] for index, lacking in self.missing.items()}
        return replace(self, codes=codes, missing=missing)


class ReadLabels(NamedTuple):
    """What a label source holds: labels (N, C) uint8, and masks if it has any.

    `notices` are the lines that say what it writes otherwise than expected.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    masks: Masks | None
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Images sorted by id, their multi-hot labels (N, C) and, where the source has any, masks.

    `skipped` holds the reason for each image id that was left out, `notices` what the source
    writes otherwise than expected. `root` is the data set's folder. `flips` holds row, column and
    value of each label that is wrong on purpose; `corrections` says what a review changed.
    """

    image_paths: tuple[Path, ...]
    image_ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    masks: Masks | None
    source: str
    skipped: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    notices: tuple[str, ...] = ()
    flips: tuple[tuple[int, int, int], ...] = ()
    corrections: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.image_ids)

    def label_set(self, index: int) -> tuple[str, ...]:
        """The classes that the image at `index` shows."""
        shown = zip(self.class_names, self.labels[index], strict=True)
        return tuple(name for name, label in shown if label)

    def has_masks(self) -> np.ndarray:
        """Whose masks are known. Shape: bool (N,)."""
        known = np.full(len(self), self.masks is not None)
        known[list(self.masks.missing) if self.masks is not None else []] = False
        return known

    def reorder_classes(self, class_names: Sequence[str]) -> "LabelTable":
        """The same classes, matched by name, in this order.

        Raises:
            InputError: other classes; the message shows both.
        """
        names = tuple(class_names)
        if names == self.class_names:
            return self
        if sorted(names) != sorted(self.class_names):
            raise InputError(
                f"{self.root / self.source}: its classes are "
                f"{', '.join(self.class_names)}; expected those of the model: {', '.join(names)}"
            )
        columns = [self.class_names.index(name) for name in names]
        labels = self.labels[:, columns]
        labels.flags.writeable = False
        masks = None if self.masks is None else self.masks.reorder(columns)
        return replace(self, labels=labels, class_names=names, masks=masks)

    def fingerprint(self) -> str:
        """SHA-256 over ids, labels and file sizes: the same for the same data in any folder."""
        digest = hashlib.sha256()
        rows = self.labels.tolist()
        for path, image_id, row in zip(self.image_paths, self.image_ids, rows, strict=True):
            try:
                num_bytes = path.stat().st_size
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be read ({error.strerror}); it was there when the data were "
                    "checked: put it back"
                ) from None
            digest.update(f"{image_id}\0{row}\0{num_bytes}\n".encode())
        return digest.hexdigest()

    def without(self, reasons: Mapping[int, str]) -> "LabelTable":
        """The table without the images at these positions; `skipped` lists them with reasons."""
        kept = [index for index in range(len(self)) if index not in reasons]
        labels = self.labels[kept]
        labels.flags.writeable = False
        return replace(
            self,
            image_paths=tuple(self.image_paths[index] for index in kept),
            image_ids=tuple(self.image_ids[index] for index in kept),
            labels=labels,
            masks=None if self.masks is None else self.masks.take(kept),
            skipped={self.image_ids[index]: reasons[index] for index in sorted(reasons)},
        )
