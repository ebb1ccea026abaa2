"""Run-length codes of binary masks: 1-based, column-major (down, then right), `start length`."""

import re

import numpy as np

from core.errors import InputError


class MaskOutsideError(InputError):
    """A mask that reaches outside its image."""

    kind = "mask outside the strip"


_DIGITS_AND_SPACES = re.compile(r"[0-9 ]*")


def runs(code: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """0-based starts and lengths of a code's runs, checked.

    Starts must increase and runs must not overlap, as in every published code; a code that breaks
    this was damaged or belongs to another image size. Runs that touch are accepted.

    Raises:
        InputError: a token that is not a whole number, an odd count of numbers, a start or
            length below 1, runs out of order or overlapping, a run past the last pixel.
    """
    code = code.strip()
    if not _DIGITS_AND_SPACES.fullmatch(code):
        token = next(t for t in code.split(" ") if not _DIGITS_AND_SPACES.fullmatch(t))
        raise InputError(
            f"malformed run-length code: {token[:40]!r} is not a whole number; "
            "expected pairs 'start length' separated by spaces"
        )
    numbers = np.fromstring(code, dtype=np.int64, sep=" ") if code else np.zeros(0, np.int64)
    if numbers.size % 2:
        raise InputError(
            f"malformed run-length code: {numbers.size} numbers (ends with {code[-20:]!r}); "
            "expected pairs 'start length', so an even count"
        )
    starts, lengths = numbers[0::2], numbers[1::2]
    if numbers.size:
        _check(starts, lengths, height, width)
    return starts - 1, lengths


def _check(starts: np.ndarray, lengths: np.ndarray, height: int, width: int) -> None:
    total = height * width
    # Every number first: sums of numbers beyond the image could overflow.
    for name, values in (("start", starts), ("length", lengths)):
        if values.min() < 1 or values.max() > total:
            row = int(np.flatnonzero((values < 1) | (values > total))[0])
            kind = "malformed" if values[row] < 1 else "overlong"
            raise (InputError if kind == "malformed" else MaskOutsideError)(
                f"{kind} run-length code: {name} {values[row]} of run {row + 1}; "
                f"expected 1 to {total} for {height}x{width} pixels"
            )
    ends = starts + lengths - 1
    if ends.max() > total:
        row = int(ends.argmax())
        raise MaskOutsideError(
            f"overlong run-length code: run {row + 1} ('{starts[row]} {lengths[row]}') ends at "
            f"pixel {ends[row]}; expected at most {total} for {height}x{width} pixels"
        )
    clashes = np.flatnonzero(starts[1:] <= ends[:-1])
    if clashes.size:
        row = int(clashes[0])
        raise InputError(
            f"malformed run-length code: run {row + 2} starts at {starts[row + 1]}, but run "
            f"{row + 1} ('{starts[row]} {lengths[row]}') ends at {ends[row]}; "
            "expected increasing runs that do not overlap"
        )


def decode(code: str, height: int, width: int) -> np.ndarray:
    """The mask of a run-length code; the empty code is the empty mask.

    Shape: (height, width) uint8 of 0 and 1.

    Raises:
        InputError: as for `runs`.
    """
    mask = np.zeros((height, width), np.uint8)
    starts, lengths = runs(code, height, width)
    if starts.size == 0:
        return mask
    ends = starts + lengths
    # Only the columns between the first and the last run: transposing costs most of the time.
    first, last = int(starts[0]) // height, -(-int(ends[-1]) // height)
    counts = np.empty(2 * starts.size + 1, np.int64)
    counts[0::2] = np.append(starts, last * height) - np.append(first * height, ends)
    counts[1::2] = lengths
    values = np.zeros(counts.size, np.uint8)
    values[1::2] = 1
    mask[:, first:last] = np.repeat(values, counts).reshape(last - first, height).T
    return mask


def encode(mask: np.ndarray) -> str:
    """The run-length code of a mask; pixels other than 0 belong to it.

    Shape: mask (height, width). `decode(encode(mask), *mask.shape)` is `mask != 0`.
    """
    if mask.ndim != 2:
        raise ValueError(f"expected a mask of shape (height, width), got {mask.shape}")
    flat = np.zeros(mask.size + 2, np.int8)
    flat[1:-1] = (mask != 0).ravel(order="F")
    # Padded by one, the position of a rise is the 1-based start of a run.
    edges = np.flatnonzero(np.diff(flat)) + 1
    edges[1::2] -= edges[0::2]
    return " ".join(map(str, edges.tolist()))
