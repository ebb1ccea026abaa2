"""The image files in a folder and its sub-folders, their ids, and what is left out."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.errors import InputError

# Those that OpenCV reads of the formats that cameras and their programs write.
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp",
)  # fmt: skip
_MOST_NAMED = 5


def is_image(file: str) -> bool:
    """Whether a file's name ends as those of images do, in capitals or not, and is not hidden."""
    name = file.rpartition(os.sep)[2]
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and its sub-folders, hidden ones left out, sorted by their paths.

    Links are followed.

    Raises:
        InputError: a folder that cannot be read.
    """
    return [Path(file) for file in sorted(filter(is_image, _entries(folder)))]


def image_ids(folder: Path, paths: Sequence[Path]) -> list[str]:
    """The id of each of the images in a folder: its name, or its path below the folder.

    Label tables know names. Images of one name in several sub-folders are told apart by their
    paths, with `/` between the parts.
    """
    counts = Counter(path.name for path in paths)
    return [
        path.name if counts[path.name] == 1 else path.relative_to(folder).as_posix()
        for path in paths
    ]


def describe_exceptions(folder: Path) -> str | None:
    """One line on the files of a folder that are left out, and on images in its sub-folders."""
    entries = list(_entries(folder))
    others = [Path(file).name for file in entries if not is_image(file)]
    folders = Counter(file.rpartition(os.sep)[0] for file in entries if is_image(file))
    folders.pop(str(folder), None)
    parts = [describe_left_out(others)] if others else []
    if folders:
        nested = Counter({os.path.relpath(name, folder): folders[name] for name in folders})
        parts.append(f"{nested.total()} images are in sub-folders: {_most_common(nested)}")
    return f"{folder}: {'; '.join(parts)}" if parts else None


def describe_left_out(names: Iterable[str]) -> str:
    """How many files with these names are left out, by their endings."""
    endings = Counter(Path(name).suffix.lower() or name for name in names)
    count = endings.total()
    files = "file that is no image is" if count == 1 else "files that are no images are"
    return f"{count} {files} left out: {_most_common(endings)}"


def _most_common(counts: Counter) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    named = [f"{count} {name[:40]!r}" for name, count in ordered[:_MOST_NAMED]]
    return ", ".join(named) + (", ..." if len(counts) > _MOST_NAMED else "")


def _entries(folder: Path) -> Iterator[str]:
    """The path of every file of a folder and its sub-folders, and each hidden sub-folder.

    Hidden files are left out. What ends as images do counts as one whatever it is, so that its
    reader refuses it.
    """
    waiting, seen = [str(folder)], set()
    try:
        while waiting:
            place = waiting.pop()
            real = os.path.realpath(place)
            if real in seen:  # a link that leads back
                continue
            seen.add(real)
            for entry in os.scandir(place):
                hidden = entry.name.startswith(".")
                if is_image(entry.name) or not (hidden or Path(entry.path).is_dir()):
                    yield entry.path
                elif not hidden:
                    waiting.append(entry.path)
                elif Path(entry.path).is_dir():  # where programs keep copies of images
                    yield entry.path
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); expected a folder of images"
        ) from None
