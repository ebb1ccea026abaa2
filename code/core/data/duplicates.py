"""Near-duplicate strips: pairs, their groups, and duplicates.csv."""

import logging
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.data.image_cache import content_key
from core.data.images import ImageFormat
from core.data.label_table import LabelTable
from core.data.split_file import Split, part_by_image
from core.data.strip_hash import BITS_PER_PARITY, StripDescriptors, strip_descriptors
from core.errors import InputError
from core.files.tables import write_table
from core.files.writing import replacing

log = logging.getLogger(__name__)

# Version of the descriptors: raise it whenever strip_hash computes something else.
_FORMAT = 1
# Of 256 bits. Copies of the kinds that are always found differ in 2 to 70; 184,650 pairs of
# distinct strips (100 real, 600 synthetic) differ in 85 or more.
_MOST_DIFFERENT_BITS = 76
# Such copies correlate by 0.8 to 1, distinct strips by 0.3 (real) or 0.6 (synthetic) at most. A
# strip of which little is seen beside the machine can be alike by chance, and must agree better.
_LEAST_CORRELATION = 0.6
_CORRELATION_WITHOUT_STEEL = 0.98
_CORRELATION_PER_STEEL = 2.0
# Rows and columns of the thumbnail, of 8 pixels each, by which a copy may be shifted.
_LARGEST_SHIFT = 1
_ROWS_PER_BLOCK = 256
# Per strip. The strips of the competition have less than one in a hundred.
_MANY_PAIRS = 10
# A larger group fills more than a whole part of the usual splits.
_LARGEST_SHARE = 0.2
_HEADER = ["first", "second", "first_split", "second_split", "first_labels", "second_labels"]


def kept_descriptors(
    paths: Sequence[Path], image_format: ImageFormat, folder: Path
) -> StripDescriptors:
    """The descriptors of `paths`, from `folder` if they were kept there, else computed and kept.

    Their key depends on the files, so that changed files are described again. A folder that cannot
    be written to only costs time at the next start.

    Raises:
        InputError: an image that cannot be read, or of another size.
    """
    key = content_key(paths, _FORMAT, *image_format)
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


def find_duplicate_pairs(descriptors: StripDescriptors) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of strips that show the same steel, in order.

    Hashes are compared first, then the reliefs of the few pairs whose hashes are near. Measured on
    100 real and 100 synthetic strips of 256x1600: it finds all copies that were encoded again at
    a JPEG quality of 20 to 90, turned by 180 degrees, mirrored, made brighter or darker by 40 grey
    levels or by 40 % (99 %, clipped), or halved in size and back; 99 % of those shifted by up to
    16x8 pixels, 87 % of those shifted by 16 rows. None of 4,950 pairs of real and 179,700 of
    synthetic strips is wrong, nor of such copies with other strips. Where the same machine is seen
    beside 40 to 80 columns of other steel, up to 1 % are wrong. Flat strips are in no pair.
    """
    pairs = []
    for first, second in _near_hashes(descriptors.hashes):
        if _same_relief(descriptors, first, second):
            pairs.append((first, second))
            if len(pairs) == _MANY_PAIRS * len(descriptors):
                # All pairs of thousands of strips take hours: say so before they are through.
                log.warning(
                    "%d pairs of near-duplicates among %d strips so far: if a fixed camera gives "
                    "all strips one background, stop and set data.group_duplicates=false",
                    len(pairs),
                    len(descriptors),
                )
    return pairs


def duplicate_groups(num_images: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Group number of each image: the same for images that pairs connect, else one of its own.

    Shape: (num_images,); numbers count up from 0 in the order of each group's first image.
    """
    ends = np.array(list(pairs), np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(num_images, num_images))
    return connected_components(graph, directed=False)[1].astype(np.int64)


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


def _near_hashes(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs whose hashes differ in few bits in one of the four ways in which a strip can lie.

    With a the agreeing minus the differing bits of a parity, over 2, the ways sum to
    (ee + oo) +- (eo + oe) as it is and turned by 180 degrees, and to (ee - oo) +- (eo - oe)
    mirrored.
    """
    least = np.int8(2 * BITS_PER_PARITY - _MOST_DIFFERENT_BITS)
    words = np.ascontiguousarray(hashes.T)
    half = np.int8(BITS_PER_PARITY // 2)
    for start in range(0, len(hashes), _ROWS_PER_BLOCK):
        stop = start + _ROWS_PER_BLOCK
        even, row_even, row_odd, odd = (
            half - np.bitwise_count(word[start:stop, None] ^ word[None, start:]).view(np.int8)
            for word in words
        )
        # Bounds are compared rather than sums, which would not fit into 8 bits.
        near = even + odd >= least - np.abs(row_even + row_odd)
        near |= even - odd >= least - np.abs(row_even - row_odd)
        first, second = np.nonzero(np.triu(near, 1))
        yield from zip((first + start).tolist(), (second + start).tolist(), strict=True)


def _same_relief(descriptors: StripDescriptors, first: int, second: int) -> bool:
    one, other = (descriptors.reliefs[index].astype(np.float32) for index in (first, second))
    # The correlation with a constant is undefined.
    if not one.any() or not other.any():
        return False
    steel = float(min(descriptors.steel[first], descriptors.steel[second]))
    least = max(_LEAST_CORRELATION, _CORRELATION_WITHOUT_STEEL - _CORRELATION_PER_STEEL * steel)
    inner = one[_LARGEST_SHIFT:-_LARGEST_SHIFT, _LARGEST_SHIFT:-_LARGEST_SHIFT]
    inner = np.ascontiguousarray(inner)
    for down in (1, -1):
        for across in (1, -1):
            turned = np.ascontiguousarray(other[::down, ::across])
            if cv2.matchTemplate(turned, inner, cv2.TM_CCOEFF_NORMED).max() >= least:
                return True
    return False
