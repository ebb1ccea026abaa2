"""Size and completeness of a JPEG or PNG file, read from its bytes without decoding it."""

import struct
from dataclasses import dataclass

EXTENSIONS = (".jpg", ".jpeg", ".png")

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
    """What a file says of itself: size in pixels, and where its pixel data begin, in bytes."""

    height: int
    width: int
    pixels_offset: int
    end_marker: bytes


def parse_header(head: bytes) -> Header:
    """The header of an image file that begins with `head`.

    Raises:
        NotAnImageError: the bytes are no JPEG and no PNG.
        IncompleteHeaderError: more of the file is needed, or it is truncated.
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
