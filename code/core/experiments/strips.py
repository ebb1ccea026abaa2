"""Where an experiment's strips are: the folder of its data set, each image, each part."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath

from core.errors import InputError
from core.experiments.predictions import read_rows
from core.experiments.reading import Experiment
from core.files.image_folders import image_folders

SPLIT_FILE = "split.csv"
_MOST_FOLDERS = 10_000


class ImageFolder:
    """Finds images by their id in a data set's root or one of its folders.

    The folder that a training reads comes first: others may hold files of the same names, such as
    marked copies. They are looked for where an image is not in that one, and so many of them at
    most: a results.json of others may name any folder. `source` is the label source, as in
    `data.source` of results.json.
    """

    def __init__(self, root: Path, source: str | None = None) -> None:
        self.root = root
        self._read = list(image_folders(root, source))

    @cached_property
    def _below(self) -> list[Path]:
        return list(islice(_folders_below(self.root), _MOST_FOLDERS)) if self.root.is_dir() else []

    def _folders(self) -> Iterator[Path]:
        yield from self._read
        yield from self._below

    def find(self, image_id: str) -> Path | None:
        """The image's file; None where there is none."""
        # An id is a file's name or its path in a folder, and never leads out of the data set.
        path = PurePosixPath(image_id)
        if not path.name or path.is_absolute() or ".." in path.parts:
            return None
        files = (folder / image_id for folder in self._folders())
        try:
            return next((file for file in files if file.is_file()), None)
        except OSError:  # too long a name
            return None


class Strips(ImageFolder):
    """The strips of an experiment, in `data_root` or where the experiment read them."""

    def __init__(self, experiment: Experiment, data_root: Path | str | None = None) -> None:
        """Raises InputError where `data_root` is given and is no folder."""
        root = Path(str(data_root or experiment.look_up("data", "root")))
        super().__init__(root, experiment.look_up("data", "source"))
        self.experiment = experiment
        if data_root and not root.is_dir():
            raise InputError(f"--data-root {data_root} is not a folder: give the data set's folder")

    def ids(self, part: str) -> list[str]:
        """The images of a part of the split, sorted. Raises InputError as `read_rows` does."""
        return sorted(
            image_id for image_id, _ in read_rows(self.experiment.path / SPLIT_FILE, (), part)
        )

    def files(self, image_ids: Iterable[str]) -> list[Path]:
        """The files of these images. Raises InputError where one is not there."""
        found = {image_id: self.find(image_id) for image_id in image_ids}
        for image_id, path in found.items():
            if path is None:
                raise self.missing(image_id)
        return list(found.values())

    def missing(self, image_id: str) -> InputError:
        """The error that says that an image is not there."""
        return InputError(
            f"{self.root}: holds no {image_id}, a strip of {self.experiment.name}: give the "
            "folder of its data set by --data-root"
        )


def _folders_below(root: Path) -> Iterator[Path]:
    """The folder and those below it, the nearest first; hidden ones are left out."""
    waiting, seen = [root], set()
    for folder in waiting:
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        yield folder
        with suppress(OSError):  # not allowed to look into it
            waiting += sorted(
                Path(entry.path)
                for entry in os.scandir(folder)
                if not entry.name.startswith(".") and _is_folder(entry)
            )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():  # which may lead to where nobody may look
        return os.path.isdir(entry.path)  # noqa: PTH112
    return entry.is_dir(follow_symlinks=False)
