"""Image files as uint8 arrays, with a cheap check of the header before anything is decoded."""

import io
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from core.data.checks import DataError
from core.data.image_header import (
    Header,
    IncompleteHeaderError,
    NotAnImageError,
    parse_header,
)
from core.errors import InputError
from core.files.reading import opened, read_bytes
from core.files.resizing import Resize, Size

# A strip's header ends within 1 KiB; embedded metadata may need far more, but not this much.
_HEAD_BYTES = 2048
_LONGEST_HEAD_BYTES = 1 << 24
_FORMATS = "a JPEG, PNG, BMP, TIFF or WebP file"
# No codec needs more for a pixel of four channels of 16 bits.
_MOST_BYTES_PER_PIXEL = 10
# Of an image that may have any size: a line-scan camera of 16,384 pixels takes 8,192 lines.
_MOST_PIXELS = 1 << 27
_LONGEST_SIDE = (1 << 15) - 1

WIDE_BITS = 16
BIT_DEPTHS = (8, 10, 12, WIDE_BITS)


class ImageFormat(NamedTuple):
    """How files are read as images; the arguments of `read_image` after the path."""

    image_size: Size | Resize
    channels: int = 1
    bit_depth: int = 8

    @property
    def size(self) -> Size:
        """Height and width of what is read."""
        return self.image_size.size if isinstance(self.image_size, Resize) else self.image_size


def check_header(path: Path, image_size: Size | Resize) -> None:
    """Check an image file for size and completeness, without decoding it. Raises InputError."""
    with opened(path, _most_bytes(image_size)) as stream:
        _checked_header(path, stream, image_size)


def read_header(path: Path, image_size: Size | Resize) -> Header:
    """The header of an image file of any size; `image_size` limits its bytes."""
    with opened(path, _most_bytes(image_size)) as stream:
        return _read_header(path, stream)


def stored_size(path: Path, image_size: Size | Resize) -> Size | None:
    """Height and width of an image in its file; None where that cannot be read."""
    try:
        header = read_header(path, image_size)
    except InputError:
        return None
    return header.height, header.width


def read_image(
    path: Path, image_size: Size | Resize, channels: int = 1, bit_depth: int = 8
) -> np.ndarray:
    """The image as uint8 grey, or as red, green and blue with 3 channels.

    Samples of 16 bits keep the upper 8 of their `bit_depth` lower bits. With a `Resize`, the file
    may have any size.

    Shape: (height, width) of image_size; (height, width, 3) with 3 channels.

    Raises:
        InputError: unreadable, no image, truncated, not decodable, of another size, or with
            values that a number of `bit_depth` bits cannot hold.
    """
    image = read_stored(path, image_size, channels, bit_depth)
    return image_size.image(image) if isinstance(image_size, Resize) else image


def read_stored(
    path: Path, image_size: Size | Resize, channels: int = 1, bit_depth: int = 8
) -> np.ndarray:
    """As `read_image`, but of the size that it has in its file.

    Shape: (height, width); (height, width, 3) with 3 channels.
    """
    image, bits = decode(path, image_size, channels)
    return image if image.dtype == np.uint8 else _upper_bits(path, image, bits, bit_depth)


def _upper_bits(path: Path, image: np.ndarray, bits: int, bit_depth: int) -> np.ndarray:
    # cv2 aligns samples of 10, 12 and 14 bits, which a TIFF can pack, with the upper end of 16.
    depth = bit_depth if bits == WIDE_BITS else WIDE_BITS
    largest = int(image.max())
    if largest >= 1 << depth:
        raise DataError(
            f"{path}: samples of 16 bits with values up to {largest}; expected at most "
            f"{(1 << depth) - 1} with data.bit_depth={depth}: give images of the camera and the "
            "settings of the others, or set data.bit_depth before training",
            kind="image of another bit depth",
        )
    return (image >> (depth - 8)).astype(np.uint8)


def decode(path: Path, image_size: Size | Resize, channels: int) -> tuple[np.ndarray, int]:
    """The image as stored, uint8 or uint16, and the bits of a sample in its file.

    Raises:
        InputError: as for `read_image`, but for values that are too large.
    """
    data = read_bytes(path, _most_bytes(image_size))
    # Before decoding: a small file can decode to gigabytes, and cv2 fills what is missing of a
    # truncated JPEG with flat grey and reports nothing.
    header = _checked_header(path, io.BytesIO(data), image_size)
    # Masks belong to the pixels as stored, so an orientation tag must not turn them.
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    if header.bits > 8:
        flags |= cv2.IMREAD_ANYDEPTH  # else cv2 keeps the upper 8 of 16 bits
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    expected = np.uint8 if header.bits <= 8 else np.uint16
    size = (header.height, header.width)
    if image is None or image.shape[:2] != size or image.dtype != expected:
        raise InputError(
            f"{path}: {len(data)} bytes that cannot be decoded as an image; "
            f"expected {_FORMATS}, and all of it: copy or download the file again"
        )
    return image, header.bits


def _read_header(path: Path, stream: BinaryIO) -> Header:
    """The header of an image file, whose stream is at its beginning."""
    head = stream.read(_HEAD_BYTES)
    try:
        try:
            return parse_header(head, stream)
        except IncompleteHeaderError:
            stream.seek(len(head))
            head += stream.read(_LONGEST_HEAD_BYTES)
            return parse_header(head, stream)
    except NotAnImageError:
        raise InputError(
            f"{path}: not an image (it begins with {head[:8]!r}); "
            f"expected {_FORMATS}: replace it, or move it out of the folder"
        ) from None
    except IncompleteHeaderError:
        raise _truncated(path, len(head)) from None


def _checked_header(path: Path, stream: BinaryIO, image_size: Size | Resize) -> Header:
    header = _read_header(path, stream)
    if isinstance(image_size, Resize):
        sides = (header.height, header.width)
        if not 0 < min(sides) <= max(sides) <= _LONGEST_SIDE or np.prod(sides) > _MOST_PIXELS:
            raise DataError(
                f"{path}: {header.height}x{header.width} pixels; expected at most {_MOST_PIXELS} "
                f"of them, and {_LONGEST_SIDE} a side: cut the image, or leave it out",
                kind="image of another size",
            )
    elif (header.height, header.width) != tuple(image_size):
        height, width = image_size
        raise DataError(
            f"{path}: {header.height}x{header.width} pixels (height x width); expected "
            f"{height}x{width}: replace the file, set data.image_size to the size of all images, "
            "or data.resize for images of several sizes",
            kind="image of another size",
        )
    if header.bits > WIDE_BITS:
        raise DataError(
            f"{path}: samples of {header.bits} bits; expected at most {WIDE_BITS}: convert it",
            kind="image of another bit depth",
        )
    if not header.is_whole(stream):
        raise _truncated(path, stream.seek(0, os.SEEK_END))
    return header


def _most_bytes(image_size: Size | Resize) -> int:
    pixels = _MOST_PIXELS if isinstance(image_size, Resize) else image_size[0] * image_size[1]
    return _MOST_BYTES_PER_PIXEL * pixels + _LONGEST_HEAD_BYTES


def _truncated(path: Path, num_bytes: int) -> DataError:
    return DataError(
        f"{path}: truncated, its {num_bytes} bytes end before the image does; "
        "expected a whole file: copy or download the file again",
        kind="truncated image",
    )
