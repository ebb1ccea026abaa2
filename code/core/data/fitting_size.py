"""`data.resize=auto`: a size for images that nobody gave one."""

from collections.abc import Sequence
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

    The median height and width, of about 500 evenly spaced images, made smaller to `MOST_PIXELS`
    but never larger, each rounded to a multiple of 32. Raises InputError where no image has a
    header that can be read.
    """
    some = paths[:: max(1, len(paths) // _MOST_HEADERS)]
    any_size = Resize((_MULTIPLE, _MULTIPLE))
    sizes = [size for path in some if (size := stored_size(path, any_size)) is not None]
    if not sizes:
        raise InputError(
            f"data.resize=auto: found no image of which the size could be read, among {len(paths)} "
            "files: give data.resize=[HEIGHT,WIDTH]"
        )
    height, width = (median(sides) for sides in zip(*sizes, strict=True))
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    return _rounded(height * scale), _rounded(width * scale)


def _rounded(side: float) -> int:
    return max(1, round(side / _MULTIPLE)) * _MULTIPLE
