"""What the header of an image file says, read without decoding a pixel."""

import re
import struct
from dataclasses import dataclass

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_JPEG_START_OF_SCAN = 0xDA
# Start-of-frame markers, of all JPEG processes; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a payload: TEM and the restart markers.
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# In a scan, 0xff stands before 0x00 or a restart marker, or is a fill byte; else the scan ends.
_JPEG_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class NotAnImageError(ValueError):
    """The bytes are neither a JPEG nor a PNG."""


class IncompleteHeaderError(ValueError):
    """The bytes end before the header does."""


@dataclass(frozen=True)
class Header:
    """The size in pixels, the offset in bytes at which the pixel data begin, and what ends them."""

    height: int
    width: int
    pixels_offset: int
    end_marker: bytes

    def ends_in(self, body: bytes) -> bool:
        """Whether `body`, the file from `pixels_offset` on, has the end marker.

        Whatever follows it does not matter: cameras and their programs append data of their own.
        """
        if self.end_marker != _JPEG_END:
            return self.end_marker in body
        position = 0
        while found := _JPEG_END_OF_SCAN.search(body, position):
            if found[0] == _JPEG_END:
                return True
            # Between two scans; the marker may occur in a table or a comment there.
            length = int.from_bytes(body[found.end() : found.end() + 2], "big")
            position = found.end() + max(length, 2)
        return False


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
        return Header(height, width, 33, _PNG_END)
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
