"""Where strips are shown from: experiments, and the data set that the workbench was opened with."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from core.data.sources import sources_in
from core.errors import InputError
from core.files.escaping import for_terminal
from core.workbench.answers import Encoded, encoded
from core.workbench.index import ExperimentIndex
from core.workbench.strip_images import Picture, check_place, converted, read_picture
from core.workbench.strip_tables import Listed, read_strips, true_masks
from core.workbench.summary import shown

DATA = "data"
"""The key of the data set that belongs to no experiment."""
_MOST_REMEMBERED = 4


@dataclass(frozen=True)
class Place:
    """What a key stands for: an experiment's folder, or none for the data set alone."""

    experiment: Path | None
    name: str
    stamp: Any


class Strips:
    """The strips of one place: what the page gets, and where each image is."""

    def __init__(self, place: Place, listed: Listed) -> None:
        self.place, self.class_names = place, listed.class_names
        self.ids = {strip_key(image_id): image_id for image_id in listed.ids}
        self._files, self._images = listed.files, listed.images
        self.encoded = _listing(place.name, listed, list(self.ids))

    def file(self, key: str) -> Path:
        """The image of a strip, by its key.

        Raises KeyError for an unknown strip, InputError where its image is not there.
        """
        image_id = self.ids[key]
        known = self._files.get(image_id)
        file = Path(known) if known else self._images.find(image_id)
        if file is None:
            raise InputError(
                f"{for_terminal(image_id)}: not in {self._images.root}: start the workbench with "
                "--data-root and the folder of its data set"
            )
        check_place(file, self._images.root)
        return file


class StripSources:
    """The strips of all experiments, each read when it is asked for."""

    def __init__(
        self, index: ExperimentIndex, ask: Callable[..., Any], data_root: Path | None = None
    ) -> None:
        """`ask` calls what takes long in another process."""
        self._index, self._ask, self.data_root = index, ask, data_root
        self._read: dict[Place, Strips] = {}
        self._lock = Lock()
        self._converted = lru_cache(16)(self._convert)

    def places(self) -> list[dict[str, str]]:
        """The key and the name of everything that may have strips."""
        places = []
        if self.data_root is not None:
            places.append({"key": DATA, "name": f"data set {for_terminal(str(self.data_root))}"})
        rows, _ = self._index.rows()
        kinds = ("classification", "cross-validation")
        places += [
            {"key": row["key"], "name": row["name"]}
            for row in rows
            if row["values"].get("kind") in kinds
        ]
        return places

    def of(self, key: str) -> Strips:
        """Raises KeyError for an unknown key, InputError where the strips cannot be read."""
        place = self._place(key)
        with self._lock:
            if place not in self._read:
                listed = self._ask(read_strips, place.experiment, self.data_root, place.stamp)
                self._read[place] = Strips(place, listed)
                for old in list(self._read)[:-_MOST_REMEMBERED]:
                    del self._read[old]
            return self._read[place]

    def picture(self, strips: Strips, key: str) -> tuple[Callable[[], Picture], str]:
        """What reads the image of a strip, and what names its content.

        Raises KeyError for an unknown strip, InputError for what is no image.
        """
        file = strips.file(key)
        try:
            status = file.stat()
        except OSError as error:
            raise InputError(f"{file.name}: cannot be read ({error.strerror})") from None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        tag = hashlib.sha256(repr((os.fspath(file), stamp)).encode(errors="replace")).hexdigest()
        return lambda: read_picture(file) or self._converted(file, stamp), f'"{tag[:32]}"'

    def masks(self, strips: Strips, key: str) -> Any:
        """The true masks, as `true_masks` returns them."""
        place, image_id = strips.place, strips.ids[key]
        return self._ask(true_masks, place.experiment, self.data_root, place.stamp, image_id)

    def _convert(self, file: Path, stamp: Any) -> Picture:
        return self._ask(converted, file)

    def _place(self, key: str) -> Place:
        if key == DATA and self.data_root is not None:
            return Place(None, f"data set {self.data_root}", _stamp(self.data_root))
        self._index.keep_watching()
        found = self._index.find(key)
        if found is None:
            raise KeyError(key)
        return Place(found.path, found.name, found.signature)


def strip_key(image_id: str) -> str:
    """What stands for an image in addresses, whatever its name is."""
    return hashlib.sha256(image_id.encode(errors="surrogateescape")).hexdigest()[:16]


def _stamp(root: Path) -> tuple[Any, ...]:
    """Changes where an image or a label file is added, removed or replaced."""
    found = []
    for name in (*sources_in(root), "train_images", "images", "img"):
        try:
            status = (root / name).stat()
        except OSError:
            continue
        found.append((name, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _listing(name: str, listed: Listed, keys: list[str]) -> Encoded:
    content = {
        "name": shown(name),
        "classes": [shown(each) for each in listed.class_names],
        "thresholds": listed.thresholds,
        "has_masks": listed.has_masks,
        "problems": [shown(problem, 1000) for problem in listed.problems],
        "keys": keys,
        "ids": [shown(image_id) for image_id in listed.ids],
        "parts": [None if part is None else shown(part) for part in listed.parts],
        **{
            column: getattr(listed, column)
            for column in ("labels", "predicted", "probabilities", "disagreement", "margin")
        },
    }
    return encoded(content)
