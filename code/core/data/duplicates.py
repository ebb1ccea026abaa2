"""Near-duplicate strips: pairs, their groups, and duplicates.csv."""

import logging
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from core.data.duplicate_groups import LARGEST_LISTED_GROUP, Pairs, without_chains
from core.data.image_cache import content_key
from core.data.images import ImageFormat
from core.data.label_table import LabelTable
from core.data.split_file import Split, part_by_image
from core.data.strip_hash import (
    BITS_PER_PARITY,
    LARGEST_SHIFT,
    StripDescriptors,
    least_correlation,
    strip_descriptors,
)
from core.errors import InputError
from core.files.resizing import Resize
from core.files.tables import write_table
from core.files.writing import replacing

log = logging.getLogger(__name__)

# Version of the descriptors: raise it whenever strip_hash computes something else.
_FORMAT = 2
# Of 256 bits. Copies of the kinds that are always found differ in 2 to 70; 244,650 pairs of
# distinct strips (100 real, 600 synthetic) differ in 82 or more, and ten of them in 90 or less.
_FEW_DIFFERENT_BITS = 76
# Other light changes more: of photographs of one magnetic tile a quarter differ in more than 84.
_MOST_DIFFERENT_BITS = 90
_CORRELATION_OF_FAR_HASHES = 0.8
_ROWS_PER_BLOCK = 256
# A larger group fills more than a whole part of the usual splits.
_LARGEST_SHARE = 0.2
_HEADER = ["first", "second", "first_split", "second_split", "first_labels", "second_labels"]


def kept_descriptors(
    paths: Sequence[Path], image_format: ImageFormat, folder: Path
) -> StripDescriptors:
    """The descriptors of `paths`, from `folder` if they were kept there, else computed and kept.

    Their key depends on the files, so that changed files are described again, but not on a resize.
    A folder that cannot be written to only costs time at the next start.

    Raises:
        InputError: an image that cannot be read, or of another size.
    """
    size = image_format.image_size
    only_size = None if isinstance(size, Resize) else size  # others were refused
    key = content_key(paths, _FORMAT, only_size, image_format.bit_depth)
    file = folder / f"descriptors_{len(paths)}_{key}.npz"
    known = _read_descriptors(file, len(paths))
    if known is not None:
        return known
    descriptors = strip_descriptors(paths, image_format)
    try:
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **vars(descriptors))
    except (OSError, InputError) as error:  # an InputError of `replacing`, about its folder
        log.warning(
            "%s cannot be written to (%s): strips are hashed again at the next start; "
            "data.cache_dir=DIR names another folder",
            folder,
            getattr(error.__cause__ or error, "strerror", error),
        )
    return descriptors


def _read_descriptors(file: Path, num_images: int) -> StripDescriptors | None:
    try:
        with np.load(file, allow_pickle=False) as content:
            descriptors = StripDescriptors(**content)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return descriptors if len(descriptors) == num_images else None


def find_duplicate_pairs(descriptors: StripDescriptors) -> Pairs:
    """Pairs (i, j), i < j, of strips that show the same steel, in order.

    Hashes are compared first, then the reliefs of the few pairs whose hashes are near. A pair that
    only links two groups in a chain is left out, see `without_chains`. Measured on
    100 real and 100 synthetic strips of 256x1600: it finds all copies that were encoded again at
    a JPEG quality of 20 to 90, turned by 180 degrees, mirrored, made brighter or darker by 40 grey
    levels or by 40 % (99 %, clipped), or halved in size and back; 99 % of those shifted by up to
    16x8 pixels, 87 % of those shifted by 16 rows. None of 4,950 pairs of real and 179,700 of
    synthetic strips is wrong, nor of such copies with other strips. Where the same machine is seen
    beside 40 to 80 columns of other steel, up to 1 % are wrong. Flat strips are in no pair.

    All pairs of a group of up to 50 strips are listed, else those that connect it.
    """
    pairs: Pairs = []
    groups = _GrowingGroups(len(descriptors))
    for first, seconds, bits in _near_hashes(descriptors):
        waiting = ~groups.are_settled(first, seconds)
        for second, differing in zip(seconds[waiting].tolist(), bits[waiting], strict=True):
            if groups.are_settled(first, second):  # by a pair of this round
                continue
            if _same_relief(descriptors, first, second, differing):
                pairs.append((first, second))
                groups.join(first, second)
    return without_chains(descriptors, pairs)


class _GrowingGroups:
    """The groups that the pairs found so far connect."""

    def __init__(self, num_images: int) -> None:
        self.number = np.arange(num_images)
        self.members = [[index] for index in range(num_images)]

    def join(self, first: int, second: int) -> None:
        """Make one group of both groups; the smaller takes the number of the larger."""
        numbers = {int(self.number[first]), int(self.number[second])}
        if len(numbers) == 2:
            small, large = sorted(numbers, key=lambda number: len(self.members[number]))
            self.number[self.members[small]] = large
            self.members[large] += self.members[small]
            self.members[small] = []

    def are_settled(self, first: int, others: np.ndarray | int) -> np.ndarray:
        """Which of the others are in one group with the first that needs no more pairs."""
        number = self.number[first]
        is_large = len(self.members[number]) > LARGEST_LISTED_GROUP
        return is_large & (self.number[others] == number)


def warn_of_large_group(groups: np.ndarray) -> None:
    """Warn if one group holds so many images that the shares of the parts cannot hold.

    Shape: groups (N,) of group numbers.
    """
    largest = int(np.bincount(groups).max())
    if largest > _LARGEST_SHARE * len(groups):
        log.warning(
            "%d of %d strips are in one group of near-duplicates, which stays in one part: if a "
            "fixed camera gives all of them one background, set data.group_duplicates=false",
            largest,
            len(groups),
        )


def write_duplicates(
    path: Path, table: LabelTable, pairs: Sequence[tuple[int, int]], split: Split
) -> None:
    """Write duplicates.csv: per pair both ids, parts and label sets.

    A label set is the class names joined by `+`, and empty for a clean strip.
    """
    part_of = part_by_image(split)
    rows = (
        [
            *(table.image_ids[index] for index in pair),
            *(part_of[index] for index in pair),
            *("+".join(table.label_set(index)) for index in pair),
        ]
        for pair in pairs
    )
    write_table(path, _HEADER, rows)


def _near_hashes(
    descriptors: StripDescriptors,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each strip with the later ones whose hashes differ in few bits, and in how many.

    A strip can lie in four ways; the one in which the hashes differ least counts. With a the
    agreeing minus the differing bits of a parity, over 2, they sum to (ee + oo) +- (eo + oe) as it
    is and turned by 180 degrees, and to (ee - oo) +- (eo - oe) mirrored. Flat strips are left out.
    """
    agreeing = 2 * BITS_PER_PARITY
    least = np.int8(agreeing - _MOST_DIFFERENT_BITS)
    words = np.ascontiguousarray(descriptors.hashes.T)
    has_relief = descriptors.reliefs.any(axis=(1, 2))
    half = np.int8(BITS_PER_PARITY // 2)
    for start in range(0, len(descriptors), _ROWS_PER_BLOCK):
        stop = start + _ROWS_PER_BLOCK
        even, row_even, row_odd, odd = (
            half - np.bitwise_count(word[start:stop, None] ^ word[None, start:]).view(np.int8)
            for word in words
        )
        # Bounds are compared rather than sums, which would not fit into 8 bits.
        as_is, mirrored = np.abs(row_even + row_odd), np.abs(row_even - row_odd)
        near = even + odd >= least - as_is
        near |= even - odd >= least - mirrored
        near &= has_relief[start:stop, None] & has_relief[None, start:]
        near = np.triu(near, 1)
        for row in np.flatnonzero(near.any(axis=1)).tolist():
            found = np.flatnonzero(near[row])
            both = ((even + odd, as_is), (even - odd, mirrored))
            sums = [one[row, found].astype(int) + other[row, found] for one, other in both]
            yield start + row, found + start, agreeing - np.maximum(*sums)


def _same_relief(
    descriptors: StripDescriptors, first: int, second: int, differing_bits: int
) -> bool:
    one, other = (descriptors.reliefs[index].astype(np.float32) for index in (first, second))
    least = float(least_correlation(min(descriptors.steel[first], descriptors.steel[second])))
    if differing_bits > _FEW_DIFFERENT_BITS:
        least = max(least, _CORRELATION_OF_FAR_HASHES)
    inner = one[LARGEST_SHIFT:-LARGEST_SHIFT, LARGEST_SHIFT:-LARGEST_SHIFT]
    inner = np.ascontiguousarray(inner)
    for down in (1, -1):
        for across in (1, -1):
            turned = np.ascontiguousarray(other[::down, ::across])
            if cv2.matchTemplate(turned, inner, cv2.TM_CCOEFF_NORMED).max() >= least:
                return True
    return False
