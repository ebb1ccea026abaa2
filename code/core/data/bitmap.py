"""A mask cut out of an image: base64(zlib(PNG)) and the origin of its upper left corner."""

import base64
import binascii
import zlib

import cv2
import numpy as np

from core.data.checks import EmptyMaskError
from core.data.image_header import IncompleteHeaderError, NotAnImageError, parse_header
from core.errors import InputError
from core.files.run_length import MaskOutsideError

# A PNG of a mask is never larger than its pixels by more than this; a bomb is.
_SPARE_BYTES = 1 << 16


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
        raise EmptyMaskError("bitmap without a single pixel; expected a mask")
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
