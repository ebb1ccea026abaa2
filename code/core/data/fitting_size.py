"""The size of most images of a data set, and `data.resize=auto`: one that fits them."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from statistics import median

from core.data.images import stored_size
from core.errors import InputError
from core.files.resizing import Resize, Size

# A Severstal strip of half its height and width. A logistic regression on frozen features of
# EfficientNet-Lite0 ranks such strips as well as whole ones (100 real strips, three seeds).
MOST_PIXELS = 128 * 800
# Networks halve their maps up to five times.
_MULTIPLE = 32
_MOST_HEADERS = 500


def fitting_size(paths: Sequence[Path]) -> Size:
    """Height and width with the proportions of the images at `paths`, from their headers.

    Those of `median_size`, made smaller to `MOST_PIXELS` but never larger, each rounded to a
    multiple of 32. Where that makes too many pixels, the side that was rounded up most loses 32.
    Raises InputError where no image has a header that can be read.
    """
    median_sides = median_size(paths)
    if median_sides is None:
        raise InputError(
            f"data.resize=auto: found no image of which the size could be read, among {len(paths)} "
            "files: give data.resize=[HEIGHT,WIDTH]"
        )
    scale = min(1.0, (MOST_PIXELS / prod(median_sides)) ** 0.5)
    wanted = [side * scale for side in median_sides]
    sides = [max(1, round(side / _MULTIPLE)) * _MULTIPLE for side in wanted]
    while prod(sides) > MOST_PIXELS:
        added = [side - want for side, want in zip(sides, wanted, strict=True)]
        can_shrink = [index for index in (0, 1) if sides[index] > _MULTIPLE]
        sides[max(can_shrink, key=added.__getitem__)] -= _MULTIPLE
    return tuple(sides)


def median_size(paths: Sequence[Path]) -> tuple[float, float] | None:
    """Median stored height and width of about 500 evenly spaced images, from their headers.

    None where no header can be read.
    """
    some = paths[:: max(1, len(paths) // _MOST_HEADERS)]
    any_size = Resize((_MULTIPLE, _MULTIPLE))
    sizes = [size for path in some if (size := stored_size(path, any_size)) is not None]
    return tuple(median(sides) for sides in zip(*sizes, strict=True)) if sizes else None
