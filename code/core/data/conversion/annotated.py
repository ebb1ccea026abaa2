"""What annotations say, in whatever format: the images, and the objects in each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.image_folder import EXTENSIONS, images_below
from core.data.image_ids import ImageIds, Notices
from core.data.images import read_header
from core.errors import InputError

# Masks are drawn one image at a time, so that a header cannot ask for all of the memory.
_LONGEST_SIDE = 16384
_MOST_PIXELS = 1 << 27


@dataclass(frozen=True, eq=False)
class AnnotatedObject:
    """One object: the number of its class from 0, and its box or its outline.

    `where` names it in messages. `counts` are lengths of runs, down the columns, of pixels that
    do not and do belong to it, in turn.
    Shape: each polygon (points, 2), x and y.
    Units: pixels from the outer corner of the first one; box is left, top, right, bottom.
    """

    category: int
    where: str
    box: tuple[float, float, float, float] | None = None
    polygons: tuple[np.ndarray, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def has_outline(self) -> bool:
        """Whether there is more than a box."""
        return bool(self.polygons or self.counts)


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image file with its objects and its size, height and width."""

    path: Path
    size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]


@dataclass(frozen=True, eq=False)
class Annotations:
    """All images of a source, and the names of its classes."""

    source: Path
    class_names: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]


class ImageFiles:
    """The image files in a folder, found by the names that annotations give them."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"--images {folder}: is no folder: give the folder of the images")
        self.paths = sorted(images_below(folder), key=lambda path: path.name)
        names = [path.name for path in self.paths]
        for first, second in zip(self.paths, self.paths[1:], strict=False):
            if first.name == second.name:
                raise InputError(f"{first} and {second} have the same name: rename one of them")
        if not names:
            raise InputError(
                f"--images {folder}: no images; expected files ending in {', '.join(EXTENSIONS)}"
            )
        self._ids = ImageIds({name: name for name in names}, Notices(folder))

    def find(self, name: str, where: str) -> Path:
        """The file of an image. Raises InputError if there is none, or several without ending."""
        return self.paths[self._ids.find(name, where)]


def checked_size(path: Path, declared: Sequence[int] | None, where: str) -> tuple[int, int]:
    """Height and width of an image file.

    Raises:
        InputError: unreadable, too large, or not of the size that its annotations declare.
    """
    header = read_header(path, (_LONGEST_SIDE, _LONGEST_SIDE))
    height, width = header.height, header.width
    if max(height, width) > _LONGEST_SIDE or not 0 < height * width <= _MOST_PIXELS:
        raise InputError(
            f"{path}: {height}x{width} pixels; expected at most {_LONGEST_SIDE} a side and "
            f"{_MOST_PIXELS} in all"
        )
    if declared is not None and tuple(declared) != (height, width):
        raise InputError(
            f"{where}: size is {declared[0]}x{declared[1]} (height x width), but {path} has "
            f"{height}x{width}: its objects would be misplaced; export the annotations again"
        )
    return height, width
