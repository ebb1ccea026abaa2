"""Which neighbours of a query show the same piece of steel: identical files and near-duplicates."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from core.data.duplicates import find_duplicate_pairs
from core.data.images import ImageFormat
from core.data.strip_hash import strip_descriptors
from core.files.reading import read_bytes

IDENTICAL, NEAR_DUPLICATE = "identical file", "near-duplicate"
_LARGEST_FILE = 1 << 30

Pair = tuple[str, str]


def find_copies(pairs: Iterable[Pair], image_format: ImageFormat) -> dict[Pair, str]:
    """How the second image of a pair is a copy of the first; pairs that are none are left out.

    Each image is read once more. Raises InputError where one cannot be read.
    """
    wanted = list(pairs)
    images = list(dict.fromkeys(image for pair in wanted for image in pair))
    number = {image: row for row, image in enumerate(images)}
    described = strip_descriptors([Path(image) for image in images], image_format)
    near = set(find_duplicate_pairs(described))
    digest = _remembered_digest()
    found = {}
    for first, second in wanted:
        rows = tuple(sorted((number[first], number[second])))
        sizes = {Path(image).stat().st_size for image in (first, second)}
        if len(sizes) == 1 and digest(first) == digest(second):
            found[first, second] = IDENTICAL
        elif rows in near:
            found[first, second] = NEAR_DUPLICATE
    return found


def _remembered_digest() -> Callable[[str], bytes]:
    known: dict[str, bytes] = {}

    def digest(image: str) -> bytes:
        if image not in known:
            known[image] = hashlib.sha256(read_bytes(Path(image), _LARGEST_FILE)).digest()
        return known[image]

    return digest
