"""Images as uint8 arrays, with a cheap check of a file before anything is decoded."""

import os
from pathlib import Path

import cv2
import numpy as np

from core.data.checks import ImageSizeError, TruncatedImageError
from core.data.image_header import Header, IncompleteHeaderError, NotAnImageError, parse_header
from core.errors import InputError
from core.files.reading import opened, read_bytes

# A strip's header ends within 1 KiB; embedded metadata may need far more, but not this much.
_HEAD_BYTES = 2048
_LONGEST_HEAD_BYTES = 1 << 24
# Some writers pad a file after its end-of-image marker.
_TAIL_BYTES = 2048
# No codec needs more for a pixel of four channels of 16 bits.
_MOST_BYTES_PER_PIXEL = 10


def check_header(path: Path, image_size: tuple[int, int]) -> None:
    """Check size and completeness of an image file without decoding it.

    Raises:
        InputError: unreadable, no image, truncated, or of another size in pixels.
    """
    header, tail, num_bytes = _read_header(path, image_size)
    _check(path, header, tail, num_bytes, image_size)


def header_size(path: Path, image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in the header of an image file; `image_size` bounds its bytes.

    Raises:
        InputError: unreadable, or no image.
    """
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
        raise ImageSizeError(
            f"{path}: {header.height}x{header.width} pixels (height x width); expected "
            f"{height}x{width}: replace the file, or set data.image_size to the size of all images"
        )
    if header.end_marker not in tail:
        raise _truncated(path, num_bytes)


def _most_bytes(image_size: tuple[int, int]) -> int:
    return _MOST_BYTES_PER_PIXEL * image_size[0] * image_size[1] + _LONGEST_HEAD_BYTES


def _truncated(path: Path, num_bytes: int) -> TruncatedImageError:
    return TruncatedImageError(
        f"{path}: truncated, its {num_bytes} bytes lack the end-of-image marker; "
        "expected a whole JPEG or PNG: copy or download the file again"
    )
