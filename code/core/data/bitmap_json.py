"""ann/<image>.json: one JSON per image, whose objects are bitmaps with an origin.

Format: `size` {height, width} and `objects[]`, each with `classTitle`, `geometryType: bitmap`,
`bitmap.data` = base64(zlib(PNG)) and `bitmap.origin` = [x, y]. A clean image has no objects.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ValidationError

from core.data.checks import (
    EMPTY_MASK,
    REPEATED_LABEL,
    DataError,
    Errors,
    check_complete,
    collecting,
)
from core.data.class_names import SEVERSTAL_CLASS_NAMES
from core.data.image_header import IncompleteHeaderError, NotAnImageError, parse_header
from core.data.image_ids import ImageIds, Notices
from core.data.label_table import Masks, ReadLabels
from core.errors import InputError
from core.files.reading import read_json
from core.files.resizing import Size
from core.files.run_length import MaskOutsideError
from core.validation import nearest

# A PNG of a mask is never larger than its pixels by more than this; a bomb is.
_SPARE_BYTES = 1 << 16


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


def read_bitmap_json(
    folder: Path,
    places: Mapping[str, str],
    class_names: tuple[str, ...] | None,
    image_size: Size | Sequence[Size],
    errors: Errors = None,
) -> ReadLabels:
    """Labels and masks in the order of `places`: each image's path in its folder, by its id.

    `image_size` is that of all images, or of each in their order.

    Several objects of one class are one label; their masks are joined.

    Raises:
        InputError: a file that is not such a JSON, an unknown class, a bitmap that cannot be
            decoded or leaves the image, or an image or a JSON without the other.
    """
    names = class_names or SEVERSTAL_CLASS_NAMES
    sizes = [tuple(size) for size in np.broadcast_to(image_size, (len(places), 2)).tolist()]
    notices = Notices(folder)
    images = ImageIds(places, notices)
    labels = np.zeros((len(places), len(names)), np.uint8)
    bitmaps: dict[int, list[tuple[int, _Bitmap]]] = {}
    files: dict[int, Path] = {}
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder with one JSON per image")
    for path in sorted(path for path in folder.iterdir() if path.suffix == ".json"):
        with collecting(errors):
            index = images.find(path.name.removesuffix(".json"), str(path))
            if index in files:
                name = images.image_ids[index]
                raise DataError(
                    f"{path}: labels image {name!r}, as {files[index].name} does; "
                    "expected one JSON per image: remove one of them",
                    kind=REPEATED_LABEL,
                )
            files[index] = path
    with collecting(errors):
        expected = "one JSON per image, with an empty list of objects for a clean one"
        check_complete(folder, places, files, "JSON", expected)
    for index, path in files.items():
        objects: list[_Object] = []
        with collecting(errors):
            objects = _read(path, sizes[index]).objects
        for number, item in enumerate(objects, start=1):
            with collecting(errors):
                column = _checked_column(item, names, sizes[index], f"{path} object {number}")
                labels[index, column] = 1
                bitmaps.setdefault(index, []).append((column, item.bitmap))
    masks = Masks(bitmaps, (len(names), *sizes[0]), _draw)
    return ReadLabels(labels, names, masks, notices.lines())


def _draw(plane: np.ndarray, bitmap: _Bitmap) -> None:
    pixels = decode_bitmap(bitmap.data, bitmap.origin, plane.shape)
    x, y = bitmap.origin
    plane[y : y + pixels.shape[0], x : x + pixels.shape[1]] |= pixels


def _checked_column(
    item: _Object, names: tuple[str, ...], image_size: tuple[int, int], where: str
) -> int:
    """The column of an object's class; its bitmap is decoded to check it."""
    title = item.classTitle
    if title not in names:
        raise InputError(
            f"{where}: classTitle {title[:80]!r}{nearest(title, names)}; expected one of "
            f"{', '.join(names)}: mend the file, or name the classes in data.class_names"
        )
    try:
        decode_bitmap(item.bitmap.data, item.bitmap.origin, image_size)
    except InputError as error:
        error.args = (f"{where}: {error}; export the file again",)
        raise
    return names.index(title)


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
            f"{image_size[0]}x{image_size[1]}: give the image of that size and data.resize, or "
            "export the file again"
        )
    return annotation


def decode_bitmap(data: str, origin: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """The mask, uint8 of 0 and 1, of its own height and width; `origin` is its [x, y].

    A PNG with an alpha channel marks the mask by alpha, any other by a value above 0.

    Raises:
        InputError: not base64, zlib or PNG, no pixel in it, or not inside the image.
    """
    png = _inflate(data, 4 * image_size[0] * image_size[1] + _SPARE_BYTES)
    try:
        header = parse_header(png)
    except (NotAnImageError, IncompleteHeaderError):
        raise InputError("bitmap.data holds no PNG; expected base64(zlib(PNG))") from None
    x, y = origin
    if x < 0 or y < 0 or x + header.width > image_size[1] or y + header.height > image_size[0]:
        raise MaskOutsideError(
            f"bitmap of {header.height}x{header.width} pixels at origin [{x}, {y}] leaves the "
            f"image; expected it inside {image_size[0]}x{image_size[1]}"
        )
    try:
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise InputError("bitmap.data holds a PNG that cannot be decoded")
    if pixels.ndim == 3:
        pixels = pixels[:, :, 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    if not pixels.any():
        raise DataError("bitmap without a single pixel; expected a mask", kind=EMPTY_MASK)
    return (pixels > 0).astype(np.uint8)


def _inflate(data: str, limit: int) -> bytes:
    try:
        compressed = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"bitmap.data begins with {data[:16]!r}; expected base64(zlib(PNG))"
        ) from None
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(compressed, limit)
    except zlib.error as error:
        raise InputError(f"bitmap.data is not zlib ({error}); expected base64(zlib(PNG))") from None
    if not stream.eof:
        raise InputError(
            "bitmap.data is cut off or larger than the image; expected base64(zlib(PNG))"
        )
    return content
