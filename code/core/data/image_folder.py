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


def is_image(name: str) -> bool:
    """Whether a file's name ends as those of images do, in capitals or not."""
    return name.lower().endswith(EXTENSIONS)


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and its sub-folders, hidden ones left out, sorted by their paths.

    Links are followed.

    Raises:
        InputError: a folder that cannot be read.
    """
    return sorted(path for path in _entries(folder) if is_image(path.name))


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
    others = [path for path in entries if not is_image(path.name)]
    nested = [path for path in entries if is_image(path.name) and path.parent != folder]
    parts = [describe_left_out(path.name for path in others)] if others else []
    if nested:
        folders = Counter(str(path.parent.relative_to(folder)) for path in nested)
        parts.append(f"{len(nested)} images are in sub-folders: {_most_common(folders)}")
    return f"{folder}: {'; '.join(parts)}" if parts else None


def describe_left_out(names: Iterable[str]) -> str:
    """How many files with these names are left out, by their endings."""
    endings = Counter(Path(name).suffix.lower() or name for name in names)
    count = endings.total()
    files = "file that is no image is" if count == 1 else "files that are no images are"
    return f"{count} {files} left out: {_most_common(endings)}"


def _most_common(counts: Counter) -> str:
    named = [f"{count} {name[:40]!r}" for name, count in counts.most_common(_MOST_NAMED)]
    return ", ".join(named) + (", ..." if len(counts) > _MOST_NAMED else "")


def _entries(folder: Path) -> Iterator[Path]:
    """Every file of a folder and its sub-folders, and each hidden sub-folder.

    Hidden files are left out. What ends as images do counts as one whatever it is, so that its
    reader refuses it.
    """
    waiting, seen = [folder], set()
    try:
        while waiting:
            place = waiting.pop()
            real = os.path.realpath(place)
            if real in seen:  # a link that leads back
                continue
            seen.add(real)
            for path in map(Path, sorted(entry.path for entry in os.scandir(place))):
                hidden = path.name.startswith(".")
                if is_image(path.name) or not (hidden or path.is_dir()):
                    yield path
                elif not hidden:
                    waiting.append(path)
                elif path.is_dir():  # where programs keep copies of images
                    yield path
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); expected a folder of images"
        ) from None
