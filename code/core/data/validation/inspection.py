"""One image and its masks, decoded and measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.data.images import ImageFormat, read_header, read_stored
from core.data.label_table import LabelTable
from core.data.strip_hash import strip_relief, thumbnail_size
from core.errors import InputError
from core.files.resizing import Size
from core.files.threads import map_in_threads

# The black beside the steel is 0 to 10 of 255 grey levels, with a few brighter specks of noise;
# in 100 real strips the brightest twentieth of a column of steel is above 40.
_DARKEST_STEEL = 30
_BRIGHTEST = 1 / 20
_BLACK, _WHITE = 16, 250


@dataclass(frozen=True)
class Grey:
    """Grey levels of a strip, and its black borders in columns.

    `black_share` and `white_share`: its pixels of at most 16, and of at least 250.
    """

    mean: float
    standard_deviation: float
    black_share: float
    white_share: float
    left_border: int
    right_border: int


@dataclass(frozen=True, eq=False)
class MaskFigures:
    """Pixels of each class (C,), pixels of two or more classes, and pixels on a black border."""

    areas: np.ndarray
    overlap: int
    on_border: int


@dataclass(frozen=True, eq=False)
class Inspection:
    """What is known about an image as it is stored; with an `error` most is unknown."""

    size: Size | None
    num_bytes: int
    error: InputError | None = None
    grey: Grey | None = None
    masks: MaskFigures | None = None
    relief: tuple[np.ndarray, float] | None = None


def inspect_images(
    paths: Sequence[Path], image_format: ImageFormat, table: LabelTable | None, num_threads: int
) -> list[Inspection]:
    """Decode and measure every image, and its masks where the table has labels with masks."""
    inspect = partial(
        _inspect,
        image_format=image_format._replace(channels=1),
        table=table,
        thumbnail=thumbnail_size(paths, image_format),
    )
    numbered = list(enumerate(paths))
    return list(map_in_threads(inspect, numbered, num_threads=num_threads, bar="checking strips"))


def _inspect(
    numbered: tuple[int, Path],
    *,
    image_format: ImageFormat,
    table: LabelTable | None,
    thumbnail: Size,
) -> Inspection:
    index, path = numbered
    size, num_bytes = None, 0
    try:
        header = read_header(path, image_format.image_size)
        size = header.height, header.width
        num_bytes = path.stat().st_size
        image = read_stored(path, *image_format)
    except InputError as error:
        return Inspection(size, num_bytes, error)
    except OSError as error:
        return Inspection(size, num_bytes, InputError(f"{path}: vanished ({error.strerror})"))
    grey = measure_grey(image)
    masks = None if table is None else table.masks
    has_masks = masks is not None and table.labels[index].any() and index not in masks.missing
    figures = measure_masks(masks.stored(index), grey) if has_masks else None
    return Inspection(size, num_bytes, None, grey, figures, strip_relief(image, thumbnail))


def measure_grey(image: np.ndarray) -> Grey:
    """Grey levels and borders. Shape: image uint8 (H, W)."""
    bright = (image >= _DARKEST_STEEL).mean(axis=0) >= _BRIGHTEST
    columns = np.flatnonzero(bright)
    width = image.shape[1]
    left, right = (columns[0], width - 1 - columns[-1]) if columns.size else (width, 0)
    return Grey(
        float(image.mean()),
        float(image.std()),
        float((image <= _BLACK).mean()),
        float((image >= _WHITE).mean()),
        int(left),
        int(right),
    )


def measure_masks(masks: np.ndarray, grey: Grey) -> MaskFigures:
    """Areas, overlap and pixels on a black border. Shape: masks uint8 (C, H, W)."""
    total = masks.sum(axis=0, dtype=np.uint16)
    width = masks.shape[2]
    on_border = total[:, : grey.left_border].astype(bool).sum()
    on_border += total[:, max(width - grey.right_border, grey.left_border) :].astype(bool).sum()
    areas = masks.sum(axis=(1, 2), dtype=np.int64)
    return MaskFigures(areas, int((total > 1).sum()), int(on_border))
