"""Image files as uint8 arrays, with a cheap check of the header before anything is decoded."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.data.checks import DataError
from core.errors import InputError
from core.files.reading import opened, read_bytes

EXTENSIONS = (".jpg", ".jpeg", ".png")

# A strip's header ends within 1 KiB; embedded metadata may need far more, but not this much.
_HEAD_BYTES = 2048
_LONGEST_HEAD_BYTES = 1 << 24
# Some writers pad a file after its end-of-image marker.
_TAIL_BYTES = 2048
# No codec needs more for a pixel of four channels of 16 bits.
_MOST_BYTES_PER_PIXEL = 10
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_END = b"\xff\xd9"
_JPEG_START_OF_SCAN = 0xDA
# Start-of-frame markers, of all JPEG processes; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a payload: TEM and the restart markers.
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


class NotAnImageError(ValueError):
    """The bytes are neither a JPEG nor a PNG."""


class IncompleteHeaderError(ValueError):
    """The bytes end before the header does."""


@dataclass(frozen=True)
class Header:
    """The size in pixels, and the offset in bytes at which the pixel data begin."""

    height: int
    width: int
    pixels_offset: int
    end_marker: bytes


def check_header(path: Path, image_size: tuple[int, int]) -> None:
    """Check an image file for size and completeness, without decoding it. Raises InputError."""
    header, tail, num_bytes = _read_header(path, image_size)
    _check(path, header, tail, num_bytes, image_size)


def header_size(path: Path, image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in the header of an image file; `image_size` limits its bytes."""
    header = _read_header(path, image_size)[0]
    return header.height, header.width


def read_image(path: Path, image_size: tuple[int, int], channels: int = 1) -> np.ndarray:
    """The image as uint8 grey, or as red, green and blue with 3 channels.

    Shape: (height, width) of image_size; (height, width, 3) with 3 channels.

    Raises:
        InputError: unreadable, no image, truncated, not decodable, or of another size.
    """
    data = read_bytes(path, _most_bytes(image_size))
    # Before decoding: a small file can decode to gigabytes, and cv2 fills what is missing of a
    # truncated JPEG with flat grey and reports nothing.
    header = _header(path, data)
    tail = data[max(header.pixels_offset, len(data) - _TAIL_BYTES) :]
    _check(path, header, tail, len(data), image_size)
    try:
        # Masks belong to the pixels as stored, so an orientation tag must not turn them.
        colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
        flags = colour | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None or image.shape[:2] != tuple(image_size):
        raise InputError(
            f"{path}: {len(data)} bytes that cannot be decoded as an image; "
            "expected a whole JPEG or PNG: copy or download the file again"
        )
    return image


def _read_header(path: Path, image_size: tuple[int, int]) -> tuple[Header, bytes, int]:
    """The header, the last bytes and the size in bytes of an image file."""
    with opened(path, _most_bytes(image_size)) as stream:
        num_bytes = os.fstat(stream.fileno()).st_size
        head = stream.read(_HEAD_BYTES)
        try:
            header = parse_header(head)
        except IncompleteHeaderError:
            header = _header(path, head + stream.read(_LONGEST_HEAD_BYTES))
        except NotAnImageError:
            header = _header(path, head)
        stream.seek(max(header.pixels_offset, num_bytes - _TAIL_BYTES))
        return header, stream.read(_TAIL_BYTES), num_bytes


def _header(path: Path, data: bytes) -> Header:
    try:
        return parse_header(data)
    except NotAnImageError:
        raise InputError(
            f"{path}: not an image (it begins with {data[:8]!r}); expected a JPEG or PNG file: "
            "replace it, or move it out of the folder"
        ) from None
    except IncompleteHeaderError:
        raise _truncated(path, len(data)) from None


def _check(
    path: Path, header: Header, tail: bytes, num_bytes: int, image_size: tuple[int, int]
) -> None:
    height, width = image_size
    if (header.height, header.width) != (height, width):
        raise DataError(
            f"{path}: {header.height}x{header.width} pixels (height x width); expected "
            f"{height}x{width}: replace the file, or set data.image_size to the size of all images",
            kind="image of another size",
        )
    if header.end_marker not in tail:
        raise _truncated(path, num_bytes)


def _most_bytes(image_size: tuple[int, int]) -> int:
    return _MOST_BYTES_PER_PIXEL * image_size[0] * image_size[1] + _LONGEST_HEAD_BYTES


def _truncated(path: Path, num_bytes: int) -> DataError:
    return DataError(
        f"{path}: truncated, its {num_bytes} bytes lack the end-of-image marker; "
        "expected a whole JPEG or PNG: copy or download the file again",
        kind="truncated image",
    )


def parse_header(head: bytes) -> Header:
    """The header of an image file that begins with `head`.

    Raises:
        NotAnImageError: the bytes are neither a JPEG nor a PNG.
        IncompleteHeaderError: more bytes are needed, or the file is truncated.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return _parse_jpeg(head)
    if head.startswith(_PNG_SIGNATURE):
        if len(head) < 24:
            raise IncompleteHeaderError
        width, height = struct.unpack_from(">II", head, 16)
        return Header(height, width, 33, b"IEND\xaeB`\x82")
    raise NotAnImageError


def _parse_jpeg(head: bytes) -> Header:
    size: tuple[int, int] | None = None
    position = 2
    while True:
        position, marker, length = _next_segment(head, position)
        if marker in _JPEG_FRAMES:
            if position + 7 > len(head):
                raise IncompleteHeaderError
            size = struct.unpack_from(">HH", head, position + 3)
        position += length
        if marker == _JPEG_START_OF_SCAN:
            if size is None:
                raise NotAnImageError
            # The marker cannot occur inside a scan, where 0xff is always followed by 0x00.
            return Header(*size, position, _JPEG_END)


def _next_segment(head: bytes, position: int) -> tuple[int, int, int]:
    """Position of a segment's payload, with its two bytes of length, its marker, its length."""
    while True:
        if position + 4 > len(head):
            raise IncompleteHeaderError
        if head[position] != 0xFF:
            raise NotAnImageError
        marker = head[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _JPEG_STANDALONE:
            position += 2
        else:
            (length,) = struct.unpack_from(">H", head, position + 2)
            if length < 2:
                raise NotAnImageError
            return position + 2, marker, length
