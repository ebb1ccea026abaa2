"""What the header of an image file says, read without decoding a pixel."""

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_PNG_PALETTE = 3
_TIFF_SIGNATURES = {b"II*\0": "<", b"MM\0*": ">"}
# A tag's values, by the number of its type: SHORT and LONG.
_TIFF_TYPES = {3: "H", 4: "I"}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS = 256, 257, 258
# Where the strips or the tiles begin, and how many bytes each has.
_TIFF_PARTS = ((273, 279), (324, 325))
_TIFF_TAGS = {_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, *_TIFF_PARTS[0], *_TIFF_PARTS[1]}
_MOST_TIFF_BYTES = 1 << 20
_JPEG_END = b"\xff\xd9"
_JPEG_START_OF_SCAN = 0xDA
# Start-of-frame markers, of all JPEG processes; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a payload: TEM and the restart markers.
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# In a scan, 0xff stands before 0x00 or a restart marker, or is a fill byte; else the scan ends.
_JPEG_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# The end marker is looked for here first, which saves reading all of a file.
_TAIL_BYTES = 2048


class NotAnImageError(ValueError):
    """The bytes are no image of a known format."""


class IncompleteHeaderError(ValueError):
    """The bytes end before the header does."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded.

    `bits` of one sample as the file stores it. The pixels begin at `pixels_offset` and end with
    `end_marker`, or the file has at least `least_bytes`.
    """

    height: int
    width: int
    bits: int = 8
    pixels_offset: int = 0
    end_marker: bytes = b""
    least_bytes: int = 0

    def is_whole(self, stream: BinaryIO) -> bool:
        """Whether the file has all of its pixels.

        Whatever follows them does not matter: cameras and their programs append data of their own.
        """
        num_bytes = stream.seek(0, os.SEEK_END)
        if not self.end_marker:
            return num_bytes >= self.least_bytes
        stream.seek(max(self.pixels_offset, num_bytes - _TAIL_BYTES))
        if self.end_marker in stream.read():
            return True
        stream.seek(self.pixels_offset)
        body = stream.read()
        return _jpeg_ends(body) if self.end_marker == _JPEG_END else self.end_marker in body


def parse_header(head: bytes, stream: BinaryIO | None = None) -> Header:
    """The header of a JPEG, PNG, BMP, TIFF or WebP file that begins with `head`.

    A TIFF may have its header at the end, which is read from `stream`, or else from `head`.

    Raises:
        NotAnImageError: the bytes are no image of these formats.
        IncompleteHeaderError: more bytes are needed, or the file is truncated.
    """
    try:
        if head.startswith(b"\xff\xd8\xff"):
            return _parse_jpeg(head)
        if head.startswith(_PNG_SIGNATURE):
            width, height, bits, colour = struct.unpack_from(">IIBB", head, 16)
            return Header(height, width, 8 if colour == _PNG_PALETTE else bits, 33, _PNG_END)
        if head[:4] in _TIFF_SIGNATURES:
            return _parse_tiff(_TIFF_SIGNATURES[head[:4]], stream or io.BytesIO(head))
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _parse_webp(head)
        if head[:2] == b"BM":
            return _parse_bmp(head)
    except struct.error:
        raise IncompleteHeaderError from None
    raise NotAnImageError


def _parse_bmp(head: bytes) -> Header:
    offset, size = struct.unpack_from("<II", head, 10)
    if size == 12:  # the oldest kind
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        return Header(height, width, least_bytes=offset + _bmp_row(width, bits) * height)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
    if width < 0 or size < 40:
        raise NotAnImageError
    # A negative height: from top to bottom. The length of compressed rows is not known.
    height = abs(height)
    pixels = 0 if compression in (1, 2) else _bmp_row(width, bits) * height
    return Header(height, width, least_bytes=offset + pixels)


def _bmp_row(width: int, bits: int) -> int:
    return (width * bits + 31) // 32 * 4


def _parse_webp(head: bytes) -> Header:
    (num_bytes,) = struct.unpack_from("<I", head, 4)
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 26))
    elif kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", head, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        low, middle, high = struct.unpack_from("<HHH", head, 24)
        width, height = (low | (middle & 0xFF) << 16) + 1, (middle >> 8 | high << 8) + 1
    elif len(kind) < 4:
        raise IncompleteHeaderError
    else:
        raise NotAnImageError
    return Header(height, width, least_bytes=8 + num_bytes)


def _parse_tiff(order: str, stream: BinaryIO) -> Header:
    """The header of the first image in a TIFF."""
    tags = dict(_tiff_tags(order, stream))
    (width,), (height,) = (tags.get(tag, ())[:1] or (0,) for tag in (_TIFF_WIDTH, _TIFF_HEIGHT))
    ends = [
        begin + length
        for begins, lengths in _TIFF_PARTS
        for begin, length in zip(tags.get(begins, ()), tags.get(lengths, ()), strict=False)
    ]
    if not (width and height and ends):
        raise NotAnImageError
    return Header(height, width, (tags.get(_TIFF_BITS) or (1,))[0], least_bytes=max(ends))


def _tiff_tags(order: str, stream: BinaryIO) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each tag of the first directory that matters here, with its values."""

    def unpack(format_: str, offset: int) -> tuple[int, ...]:
        stream.seek(offset)
        return struct.unpack(order + format_, stream.read(struct.calcsize(order + format_)))

    (directory,) = unpack("I", 4)
    for index in range(*unpack("H", directory)):
        entry = directory + 2 + 12 * index
        tag, kind, count = unpack("HHI", entry)
        if tag not in _TIFF_TAGS or kind not in _TIFF_TYPES:
            continue
        values = f"{count}{_TIFF_TYPES[kind]}"
        size = struct.calcsize(order + values)
        if size > _MOST_TIFF_BYTES:
            raise NotAnImageError
        yield tag, unpack(values, entry + 8 if size <= 4 else unpack("I", entry + 8)[0])


def _jpeg_ends(body: bytes) -> bool:
    """Whether the scans of a JPEG, from the first one on, are followed by its end marker."""
    position = 0
    while found := _JPEG_END_OF_SCAN.search(body, position):
        if found[0] == _JPEG_END:
            return True
        # Between two scans; the marker may occur in a table or a comment there.
        length = int.from_bytes(body[found.end() : found.end() + 2], "big")
        position = found.end() + max(length, 2)
    return False


def _parse_jpeg(head: bytes) -> Header:
    frame: tuple[int, int, int] | None = None
    position = 2
    while True:
        position, marker, length = _next_segment(head, position)
        if marker in _JPEG_FRAMES:
            frame = struct.unpack_from(">BHH", head, position + 2)
        position += length
        if marker == _JPEG_START_OF_SCAN:
            if frame is None:
                raise NotAnImageError
            bits, height, width = frame
            return Header(height, width, bits, position, _JPEG_END)


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
