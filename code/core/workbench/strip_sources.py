"""Where strips are shown from: experiments, and the data set that the workbench was opened with."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

from core.errors import InputError, described
from core.files.escaping import for_terminal
from core.workbench.answers import Encoded, encoded
from core.workbench.index import ExperimentIndex
from core.workbench.strip_data import MaskPicture, data_stamp, mask_pictures
from core.workbench.strip_images import COLOURS, Picture, check_place, converted, read_picture
from core.workbench.strip_maps import Maps, read_maps
from core.workbench.strip_tables import SIMILAR_FILE, Listed, Strip, read_similar, read_strips
from core.workbench.summary import shown

DATA = "data"
"""The key of the data set that belongs to no experiment."""
_KINDS = ("classification", "cross-validation", "novelty")
_MOST_REMEMBERED, _MOST_PICTURES = 4, 24


@dataclass(frozen=True)
class Place:
    """What a key stands for: an experiment's folder, or none for the data set alone."""

    experiment: Path | None
    name: str
    stamp: Any


class Strips:
    """The strips of one place: what the page gets, and where each image is."""

    def __init__(self, place: Place, listed: Listed) -> None:
        self.place, self.class_names, self.data_stamp = place, listed.class_names, listed.stamp
        self.ids = {strip_key(image_id): image_id for image_id in listed.strips}
        self._files, self._images = listed.files, listed.images
        self._corrections = listed.corrections
        self.encoded = _listing(place.name, listed, list(self.ids))

    def is_current(self) -> bool:
        """Whether the labels are as they were when the strips were read."""
        return data_stamp(self._images.root, self._corrections) == self.data_stamp

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
        self,
        index: ExperimentIndex,
        ask: Callable[..., Any],
        data_root: Path | None = None,
        ask_model: Callable[..., Any] | None = None,
    ) -> None:
        """`ask` calls what takes long in another process; `ask_model`, what needs torch."""
        self._index, self.data_root = index, data_root
        self._ask, self._ask_model = partial(_told, ask), partial(_told, ask_model or ask)
        self._read: dict[Place, Strips] = {}
        self._lock = Lock()
        self._converted = lru_cache(_MOST_PICTURES)(self._convert)
        self._masks = lru_cache(_MOST_PICTURES)(self._read_masks)
        self._maps = lru_cache(_MOST_PICTURES)(self._read_maps)
        self._similar = lru_cache(2)(partial(self._ask, read_similar))

    def places(self) -> list[dict[str, str]]:
        """The key and the name of all that may have strips: the data set, the newest experiment."""
        places = []
        if self.data_root is not None:
            places.append({"key": DATA, "name": f"data set {for_terminal(str(self.data_root))}"})
        rows, _ = self._index.rows()
        rows = [row for row in rows if row["values"].get("kind") in _KINDS]
        rows.sort(key=lambda row: str(row["values"].get("created")), reverse=True)
        return places + [{"key": row["key"], "name": row["name"]} for row in rows]

    def of(self, key: str) -> Strips:
        """Raises KeyError for an unknown key, InputError where the strips cannot be read."""
        place = self._place(key)
        known = self._read.get(place)
        if known and known.is_current():  # without waiting for others that are read
            return known
        with self._lock:
            known = self._read.get(place)
            if not (known and known.is_current()):
                listed = self._ask(read_strips, place.experiment, self.data_root)
                self._read[place] = Strips(place, listed)
                for old in list(self._read)[:-_MOST_REMEMBERED]:
                    del self._read[old]
            return self._read[place]

    def picture(self, strips: Strips, key: str) -> tuple[Callable[[], Picture], str]:
        """What reads the image of a strip, and what names its content.

        Raises KeyError for an unknown strip, InputError for what is no image.
        """
        file = strips.file(key)
        stamp = _stamp(file)
        tag = hashlib.sha256(repr((os.fspath(file), stamp)).encode(errors="replace")).hexdigest()
        return lambda: read_picture(file) or self._converted(file, stamp), f'"{tag[:32]}"'

    def masks(self, strips: Strips, key: str) -> dict[int, MaskPicture] | None:
        """A picture of each true mask, by the number of its class; None: not known.

        Raises KeyError for an unknown strip.
        """
        return self._masks(strips.place, strips.ids[key], strips.data_stamp)

    def maps(self, strips: Strips, key: str, method: str) -> Maps:
        """Heat maps by this method; "": the default one.

        Raises KeyError for an unknown strip, InputError where the model or the image cannot be
        read.
        """
        if strips.place.experiment is None:
            raise InputError("a data set without an experiment has no model to explain")
        file = strips.file(key)
        return self._maps(strips.place, strips.ids[key], file, method, _stamp(file))

    def similar(self, strips: Strips, key: str) -> list[dict[str, Any]] | None:
        """The nearest strips; None where the command that finds them has not run.

        Raises KeyError for an unknown strip, InputError for a damaged table.
        """
        image_id, folder = strips.ids[key], strips.place.experiment
        try:
            status = (folder / SIMILAR_FILE).stat() if folder else None
        except OSError:
            status = None
        if status is None:
            return None
        found = self._similar(folder, (status.st_mtime_ns, status.st_size)).get(image_id, [])
        return [
            {"key": strip_key(name), "name": shown(name), "similarity": value, "copy": shown(copy)}
            for name, value, copy in found
            if strip_key(name) in strips.ids
        ]

    def _read_masks(self, place: Place, image_id: str, stamp: Any) -> dict[int, MaskPicture] | None:
        return self._ask(mask_pictures, place.experiment, self.data_root, image_id)

    def _read_maps(self, place: Place, image_id: str, file: Path, method: str, stamp: Any) -> Maps:
        return self._ask_model(read_maps, place.experiment, image_id, file, method)

    def _convert(self, file: Path, stamp: Any) -> Picture:
        return self._ask(converted, file)

    def _place(self, key: str) -> Place:
        if key == DATA and self.data_root is not None:
            return Place(None, f"data set {self.data_root}", data_stamp(self.data_root))
        self._index.keep_watching()
        found = self._index.find(key)
        if found is None:
            raise KeyError(key)
        return Place(found.path, found.name, found.signature)


def _told(ask: Callable[..., Any], function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns. Raises InputError, whatever a hostile file brings about."""
    try:
        return ask(function, *arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"cannot be read: {described(error)}") from error


def _stamp(file: Path) -> tuple[int, int, int]:
    """What tells a file from what it was before. Raises InputError where it cannot be read."""
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"{file.name}: cannot be read ({error.strerror})") from None
    return status.st_mtime_ns, status.st_size, status.st_ino


def strip_key(image_id: str) -> str:
    """What stands for an image in addresses, whatever its name is."""
    return hashlib.sha256(image_id.encode(errors="surrogateescape")).hexdigest()[:16]


def _listing(name: str, listed: Listed, keys: list[str]) -> Encoded:
    strips = list(listed.strips.values())
    columns = {each.name: [getattr(one, each.name) for one in strips] for each in fields(Strip)}
    columns["parts"] = [None if part is None else shown(part) for part in columns.pop("part")]
    has_novelty = any(score is not None for score in columns["novelty"])
    content = {
        "name": shown(name),
        "classes": [shown(each) for each in listed.class_names],
        "colours": COLOURS,
        "thresholds": listed.thresholds,
        "novelty_threshold": listed.novelty_threshold,
        "has_masks": listed.has_masks,
        "has_encoder": listed.has_encoder,
        "has_model": listed.has_model,
        "has_mask_head": listed.has_mask_head,
        "problems": [shown(problem, 1000) for problem in listed.problems],
        "keys": keys,
        "ids": [shown(image_id) for image_id in listed.strips],
        **columns,
        "novelty": columns["novelty"] if has_novelty else None,
    }
    return encoded(content)
