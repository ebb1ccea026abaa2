"""Outlines and boxes drawn as masks: polygons, the run lengths of COCO, rectangles."""

import re
from itertools import cycle
from math import isqrt

import cv2
import numpy as np

from core.data.conversion.annotated import AnnotatedObject
from core.errors import InputError

# Polygons are filled in an image of so many times the size, as far as this many pixels allow. A
# pixel belongs to a polygon if its centre does, while OpenCV also fills what an edge touches.
_LARGEST_SCALE = 16
_MOST_PIXELS = 1 << 25
# Bits of a coordinate's fraction in OpenCV's drawing.
_SHIFT = 6
# Outlines end this many pixels outside at most: more is no rounding, but another image's outline.
_SLACK = 2.0
_RUN_TEXT = re.compile(r"[0-o]*")
_MOST_GROUPS = 8


def draw(mask: np.ndarray, item: AnnotatedObject) -> None:
    """Add an object to the mask of its class, as a box if it has no outline.

    Shape: mask uint8 (height, width).

    Raises:
        InputError: as for `check_inside`; it covers no pixel of the image.
    """
    check_inside(item, mask.shape)
    alone = np.zeros_like(mask)
    if item.counts:
        _fill_runs(alone, item)
    for polygon in item.polygons:
        _fill_polygon(alone, polygon)
    if not item.has_outline and item.box is not None:
        left, top, right, bottom = np.maximum(np.rint(item.box), 0).astype(int).tolist()
        alone[top : max(bottom, top + 1), left : max(right, left + 1)] = 1
    if not alone.any():
        raise InputError(f"{item.where}: covers no pixel of the image: mend or remove it")
    mask |= alone


def check_inside(item: AnnotatedObject, size: tuple[int, int]) -> None:
    """Check that an object fits an image of this height and width, be it drawn or not.

    Raises:
        InputError: it leaves the image, its box is turned round, or its runs are of another size.
    """
    height, width = size
    if item.counts and (min(item.counts) < 0 or sum(item.counts) != height * width):
        raise InputError(
            f"{item.where}: the run lengths sum to {sum(item.counts)}; expected "
            f"{height * width}, the pixels of the image: export them again"
        )
    outlines = item.polygons
    if not item.has_outline and item.box is not None:
        left, top, right, bottom = item.box
        if right < left or bottom < top:
            raise InputError(
                f"{item.where}: box {left:g},{top:g} to {right:g},{bottom:g} is turned round; "
                "expected a width and a height of 0 or more: mend or remove it"
            )
        outlines = (np.reshape(item.box, (2, 2)),)
    for points in outlines:
        lowest, highest = points.min(axis=0), points.max(axis=0)
        if not (lowest >= -_SLACK).all() or not (highest <= np.add((width, height), _SLACK)).all():
            raise InputError(
                f"{item.where}: reaches from {lowest.tolist()} to {highest.tolist()} (x, y); "
                f"expected it inside the image of {width}x{height} pixels (width x height)"
            )


def counts_of_text(text: str, where: str) -> tuple[int, ...]:
    """The run lengths in the text form of COCO: groups of five bits, mostly as differences.

    Raises:
        InputError: other characters, or a number that does not end or is negative.
    """
    if not _RUN_TEXT.fullmatch(text):
        raise InputError(f"{where}: counts {text[:40]!r}; expected a run-length code of COCO")
    counts: list[int] = []
    number, groups = 0, 0
    for character in text:
        bits = ord(character) - 48
        number |= (bits & 31) << 5 * groups
        groups += 1
        if bits & 32 and groups < _MOST_GROUPS:
            continue
        if bits & 16:
            number -= 1 << 5 * groups
        if len(counts) > 2:
            number += counts[-2]
        if bits & 32 or number < 0:
            raise InputError(f"{where}: counts {text[:40]!r} hold a run below 0 or cut off")
        counts.append(number)
        number, groups = 0, 0
    if groups:
        raise InputError(f"{where}: counts {text[:40]!r} are cut off: export them again")
    return tuple(counts)


def _fill_runs(alone: np.ndarray, item: AnnotatedObject) -> None:
    values = np.fromiter(
        (value for value, _ in zip(cycle((0, 1)), item.counts, strict=False)), np.uint8
    )
    alone[:] = np.repeat(values, item.counts).reshape(alone.shape[::-1]).T


def _fill_polygon(alone: np.ndarray, polygon: np.ndarray) -> None:
    """Fill the part of the image that holds the polygon."""
    height, width = alone.shape
    left, top = np.clip(np.floor(polygon.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(polygon.max(axis=0)), (left + 1, top + 1), (width, height))
    part = alone[top : int(bottom), left : int(right)]
    points = polygon - (left, top)
    scale = min(_LARGEST_SCALE, max(1, isqrt(_MOST_PIXELS // part.size)))
    middle = scale // 2
    large = np.zeros([scale * side for side in part.shape], np.uint8)
    # The centre of the first pixel goes to the centre of the one at (middle, middle).
    _fill(large, points * scale - scale / 2 + middle)
    inside = large[middle::scale, middle::scale]
    if not inside.any():  # a sliver between the centres of pixels
        inside = np.zeros_like(part)
        _fill(inside, points - 0.5)
    part |= inside


def _fill(image: np.ndarray, points: np.ndarray) -> None:
    cv2.fillPoly(image, [np.rint(points * (1 << _SHIFT)).astype(np.int32)], 1, shift=_SHIFT)
