"""YOLO: a folder with one text file per image, whose lines are boxes or polygons in shares."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.data.class_names import CLASS_FILE, read_class_file
from core.data.conversion.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    ImageFiles,
    checked_size,
)
from core.errors import InputError
from core.files.names import check_class_names
from core.files.reading import MEBIBYTE, bounded_lines, opened, read_yaml

_MOST_BYTES, _LONGEST_LINE = 16 * MEBIBYTE, MEBIBYTE
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_NAMES = ("data.yaml", "data.yml", "dataset.yaml")


def read_yolo(folder: Path, files: ImageFiles, class_names: Sequence[str] | None) -> Annotations:
    """The boxes and polygons of a folder of text files.

    An image without a file, or with an empty one, shows nothing. Class names are given, or stand
    in classes.txt, or under `names` in the data.yaml, of the folder or of one above it.

    Raises:
        InputError: a malformed line, no class names, a class beyond them, or an image that is not
            there.
    """
    names = check_class_names(class_names or _find_names(folder), f"{folder} class names")
    labelled: dict[Path, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".txt" and path.name != CLASS_FILE:
            file = files.find(path.stem, str(path))
            if file in labelled:
                raise InputError(
                    f"{path} and {labelled[file].name} both label {file.name}: remove one of them"
                )
            labelled[file] = path
    images = []
    for file in files.paths:
        size = checked_size(file, None, str(file))
        objects = _read(labelled[file], names, size) if file in labelled else []
        images.append(AnnotatedImage(file, size, tuple(objects)))
    return Annotations(folder, names, tuple(images))


def _find_names(folder: Path) -> Sequence[str]:
    for place in (folder, *list(folder.resolve().parents)[:2]):
        if (place / CLASS_FILE).is_file():
            return read_class_file(place / CLASS_FILE)
        for path in (place / name for name in _NAMES):
            if path.is_file():
                return _names_in(path)
    raise InputError(
        f"{folder}: its lines number the classes, and no {CLASS_FILE} or data.yaml names them: "
        "give --class-names pit,crack"
    )


def _names_in(path: Path) -> Sequence[str]:
    names = read_yaml(path).get("names")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: names is {str(names)[:40]!r}; expected a list of class names")
    return names


def _read(path: Path, names: Sequence[str], size: tuple[int, int]) -> list[AnnotatedObject]:
    objects = []
    with opened(path, _MOST_BYTES) as stream:
        for number, line in enumerate(bounded_lines(stream, path, _LONGEST_LINE), start=1):
            if words := line.split():
                objects.append(_object(words, names, size, f"{path} line {number}"))
    return objects


def _object(
    words: list[str], names: Sequence[str], size: tuple[int, int], where: str
) -> AnnotatedObject:
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise InputError(f"{where}: {word[:40]!r} is not a number; expected a class and shares")
    category, *shares = map(float, words)
    if not category.is_integer() or not 0 <= category < len(names):
        raise InputError(
            f"{where}: class {words[0][:40]}; expected 0 to {len(names) - 1} for "
            f"{', '.join(names)}: mend it, or name the classes in --class-names"
        )
    is_box = len(shares) == 4
    if not is_box and (len(shares) < 6 or len(shares) % 2):
        raise InputError(
            f"{where}: {len(words)} numbers; expected a class with a box of 4, or with x and y of "
            "3 or more points"
        )
    if not all(0 <= share <= 1 for share in shares):
        raise InputError(f"{where}: {line_of(words)}; expected shares of the image, from 0 to 1")
    height, width = size
    if is_box:
        x, y, across, down = shares
        sides = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
        box = tuple(side * scale for side, scale in zip(sides, 2 * (width, height), strict=True))
        return AnnotatedObject(int(category), where, box)
    points = np.reshape(shares, (-1, 2)) * (width, height)
    return AnnotatedObject(int(category), where, polygons=(points,))


def line_of(words: list[str]) -> str:
    """The words as one line, cut short."""
    return repr(" ".join(words)[:60])
