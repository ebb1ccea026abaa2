"""The image of a strip as a browser shows it."""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.data.image_header import (
    Header,
    IncompleteHeaderError,
    NotAnImageError,
    parse_header,
)
from core.errors import InputError
from core.files.reading import MEBIBYTE, read_bytes

# The largest strips of a line-scan camera take a tenth of it.
_MOST_BYTES, _MOST_PIXELS = 256 * MEBIBYTE, 1 << 27
_PNG = "image/png"
# Those of the formats that a training reads which every browser shows, by how their files begin.
_SHOWN = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG": _PNG,
    b"RIFF": "image/webp",
    b"BM": "image/bmp",
}


@dataclass(frozen=True)
class Picture:
    """The bytes of an image, and their media type."""

    content: bytes
    media_type: str


def check_place(file: Path, root: Path) -> None:
    """Refuse a link to a file elsewhere; a folder of the data set may be a link.

    Raises InputError.
    """
    try:
        target, folders = file.resolve(strict=True), (file.parent.resolve(), root.resolve())
    except (OSError, RuntimeError):
        raise InputError(f"{file.name}: cannot be read; expected an image file") from None
    if not any(target.is_relative_to(folder) for folder in folders):
        raise InputError(
            f"{file.name}: a link that leads out of the data set; expected the image itself: copy "
            "it there, or link its whole folder"
        )


def read_picture(file: Path) -> Picture | None:
    """The file as it is, or None where it has to be converted first.

    Raises InputError for what is no whole image.
    """
    content = read_bytes(file, _MOST_BYTES)
    header = _header(file, content)
    if header.bits > 8:
        return None
    kinds = (kind for start, kind in _SHOWN.items() if content.startswith(start))
    media_type = next(kinds, None)
    return None if media_type is None else Picture(content, media_type)


def converted(file: Path) -> Picture:
    """A TIFF, or an image of more than 8 bits, as a PNG: its largest value is white.

    Raises InputError where it cannot be decoded.
    """
    content = read_bytes(file, _MOST_BYTES)
    _header(file, content)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{file.name}: cannot be decoded; expected a whole image")
    if image.dtype != np.uint8:
        image = (image / max(float(image.max()), 1.0) * 255).round().astype(np.uint8)
    return Picture(as_png(image), _PNG)


def as_png(image: np.ndarray) -> bytes:
    """Shape: uint8 (H, W), or (H, W, 3) or (H, W, 4) in OpenCV's order of colours."""
    return cv2.imencode(".png", image)[1].tobytes()


def _header(file: Path, content: bytes) -> Header:
    try:
        header = parse_header(content, io.BytesIO(content))
    except (NotAnImageError, IncompleteHeaderError):
        raise InputError(
            f"{file.name}: not an image; expected a JPEG, PNG, BMP, TIFF or WebP file"
        ) from None
    if not 0 < header.height * header.width <= _MOST_PIXELS:
        raise InputError(
            f"{file.name}: {header.height}x{header.width} pixels; expected at most {_MOST_PIXELS}"
        )
    if not header.is_whole(io.BytesIO(content)):
        raise InputError(f"{file.name}: truncated, it ends before the image does: copy it again")
    return header
