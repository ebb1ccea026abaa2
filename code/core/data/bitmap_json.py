"""ann/<image>.json: one JSON per image, whose objects are bitmaps with an origin.

Format: `size` {height, width} and `objects[]`, each with `classTitle`, `geometryType: bitmap`,
`bitmap.data` = base64(zlib(PNG)) and `bitmap.origin` = [x, y]. A clean image has no objects.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ValidationError

from core.data.bitmap import decode_bitmap
from core.data.kaggle_csv import SEVERSTAL_CLASS_NAMES
from core.data.mistakes import FIRST_ENDS, MissingLabelError, Mistakes
from core.data.table_checks import find_image
from core.errors import InputError
from core.files.reading import read_json
from core.validation import nearest


class _Size(BaseModel):
    height: int
    width: int


class _Bitmap(BaseModel):
    data: str
    origin: tuple[int, int]


class _Object(BaseModel):
    classTitle: str  # noqa: N815 - the format's own name
    geometryType: Literal["bitmap"]  # noqa: N815
    bitmap: _Bitmap


class _Annotation(BaseModel):
    size: _Size
    objects: list[_Object]


class BitmapMasks:
    """Masks from bitmaps that were checked when the table was read."""

    def __init__(
        self,
        bitmaps: dict[int, list[tuple[int, _Bitmap]]],
        num_classes: int,
        image_size: tuple[int, int],
    ) -> None:
        self._bitmaps = bitmaps
        self._num_classes = num_classes
        self._image_size = image_size

    def __getitem__(self, index: int) -> np.ndarray:
        """Masks of the image at `index`, uint8 (C, H, W)."""
        masks = np.zeros((self._num_classes, *self._image_size), np.uint8)
        for column, bitmap in self._bitmaps.get(index, ()):
            pixels = decode_bitmap(bitmap.data, bitmap.origin, self._image_size)
            x, y = bitmap.origin
            masks[column, y : y + pixels.shape[0], x : x + pixels.shape[1]] |= pixels
        return masks


def read_bitmap_json(
    folder: Path,
    image_ids: Sequence[str],
    class_names: tuple[str, ...] | None,
    image_size: tuple[int, int],
    mistakes: Mistakes = FIRST_ENDS,
) -> tuple[np.ndarray, tuple[str, ...], BitmapMasks]:
    """Labels (N, C) uint8 in the order of `image_ids`, the class names, and the masks.

    Several objects of one class are one label; their masks are joined.

    Raises:
        InputError: a file that is not such a JSON, an unknown class, a bitmap that cannot be
            decoded or leaves the image, or an image or a JSON without the other.
    """
    names = class_names or SEVERSTAL_CLASS_NAMES
    positions = {image_id: index for index, image_id in enumerate(image_ids)}
    labels = np.zeros((len(image_ids), len(names)), np.uint8)
    bitmaps: dict[int, list[tuple[int, _Bitmap]]] = {}
    files: dict[int, Path] = {}
    for path in _files(folder):
        with mistakes.noted():
            files[find_image(path.name.removesuffix(".json"), positions, str(path))] = path
    with mistakes.noted():
        _check_complete(folder, image_ids, files)
    for index, path in files.items():
        objects: list[_Object] = []
        with mistakes.noted():
            objects = _read(path, image_size).objects
        for number, item in enumerate(objects, start=1):
            with mistakes.noted():
                column = _checked_column(item, names, image_size, f"{path} object {number}")
                labels[index, column] = 1
                bitmaps.setdefault(index, []).append((column, item.bitmap))
    return labels, names, BitmapMasks(bitmaps, len(names), image_size)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder with one JSON per image")
    return sorted(path for path in folder.iterdir() if path.suffix == ".json")


def _checked_column(
    item: _Object, names: tuple[str, ...], image_size: tuple[int, int], where: str
) -> int:
    """The class of an object whose bitmap can be decoded."""
    column = _class_column(item.classTitle, names, where)
    try:
        decode_bitmap(item.bitmap.data, item.bitmap.origin, image_size)
    except InputError as error:
        raise type(error)(f"{where}: {error}; export the file again") from None
    return column


def _read(path: Path, image_size: tuple[int, int]) -> _Annotation:
    try:
        annotation = _Annotation.model_validate(read_json(path))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(map(str, detail["loc"])) or "the file"
        raise InputError(
            f"{path}: {key} is {str(detail['input'])[:40]!r}: {detail['msg']}; expected size and "
            "objects with bitmaps: export the file again"
        ) from None
    found = (annotation.size.height, annotation.size.width)
    if found != tuple(image_size):
        raise InputError(
            f"{path}: size is {found[0]}x{found[1]} (height x width); expected "
            f"{image_size[0]}x{image_size[1]}: mend the file, or set data.image_size"
        )
    return annotation


def _class_column(title: str, names: tuple[str, ...], where: str) -> int:
    if title not in names:
        raise InputError(
            f"{where}: classTitle {title[:80]!r}{nearest(title, names)}; expected one of "
            f"{', '.join(names)}: mend the file, or name the classes in data.class_names"
        )
    return names.index(title)


def _check_complete(folder: Path, image_ids: Sequence[str], indices: Iterable[int]) -> None:
    known = set(indices)
    missing = [image_ids[index] for index in range(len(image_ids)) if index not in known]
    if missing:
        raise MissingLabelError(
            f"{folder}: no {missing[0]}.json ({len(missing)} of {len(image_ids)} images have "
            "none); expected one JSON per image, with an empty list of objects for a clean one"
        )
