"""`data.bit_depth`: the one scale of all images of a data set whose samples have 16 bits."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from core.data.images import BIT_DEPTHS, WIDE_BITS, decode, read_header
from core.errors import InputError
from core.files.resizing import Resize, Size
from core.files.threads import map_in_threads

log = logging.getLogger(__name__)

# A file of another format that has such a name is refused when it is read.
_OF_8_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp")


def find_bit_depth(
    paths: Sequence[Path], given: int | Literal["auto"], image_size: Size | Resize
) -> int:
    """The bit depth by which 16-bit samples are scaled; 8 where there are none.

    Cameras of 10 and 12 bits write their values into files of 16, which do not say so. With `auto`
    it is the least depth of `BIT_DEPTHS` that holds the largest value of all images.

    Raises:
        InputError: some images have 16 bits and others do not, so that no scale fits both.
    """
    if given != "auto":
        return given
    wide, other = [], None
    for path in paths:
        if not path.name.lower().endswith(_OF_8_BITS) and _bits(path, image_size) == WIDE_BITS:
            wide.append(path)
        else:
            other = path
    if not wide:
        return min(BIT_DEPTHS)
    if other is not None:
        raise InputError(
            f"{wide[0]} has samples of 16 bits and {other} has not; expected images of one kind, "
            "whose scale is known: convert them, or set data.bit_depth to that of the 16-bit ones"
        )
    measure = partial(_largest, image_size=image_size)
    largest = max(map_in_threads(measure, wide, bar="measuring the bit depth"))
    depth = next(depth for depth in BIT_DEPTHS if largest < 1 << depth)
    log.info(
        "%d images of 16 bits, values up to %d: read as %d-bit (data.bit_depth=%d saves measuring)",
        len(wide), largest, depth, depth,
    )  # fmt: skip
    return depth


def _bits(path: Path, image_size: Size | Resize) -> int | None:
    try:
        return read_header(path, image_size).bits
    except InputError:  # its reader refuses it
        return None


def _largest(path: Path, image_size: Size | Resize) -> int:
    try:
        return int(decode(path, image_size, channels=3)[0].max())
    except InputError:
        return 0
