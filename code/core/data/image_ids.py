"""The images of a folder, found by the ids that a table writes, and what had to be read freely."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

from core.data.checks import DataError, find_image
from core.files.spreadsheet import original


class Notices:
    """What a label source writes otherwise than expected, but in one possible meaning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, what: str, where: str) -> None:
        """Count one occurrence; `where` names the first one."""
        count, first = self._found.get(what, (0, where.replace(f"{self.path} ", "")))
        self._found[what] = (count + 1, first)

    def lines(self) -> tuple[str, ...]:
        """One line with everything that was found; none if there is nothing."""
        if not self._found:
            return ()
        texts = []
        for what, (count, first) in self._found.items():
            more = f" and {count - 1} more" if count > 1 else ""
            texts.append(f"{what} ({first}{more})")
        return (f"{self.path}: accepted: {'; '.join(texts)}",)


class ImageIds:
    """Positions of images by their id.

    An id is also found with the path of its file below the image folder, without its ending, with
    an ending in other case, and in another Unicode normal form, as long as it means one image only.
    """

    def __init__(self, places: Mapping[str, str], notices: Notices) -> None:
        """`places` has the path of each image below the image folder, by its id."""
        self.places, self.notices = places, notices
        self.image_ids = tuple(places)
        self.positions = {image_id: index for index, image_id in enumerate(places)}

    def find(self, image_id: str, where: str) -> int:
        """The position of an image.

        Raises:
            InputError: no such image, or an id that may mean several.
        """
        # As it is in the folder, or as the writer of tables escapes it.
        for plain in (image_id, original(image_id)):
            if plain in self.positions:
                return self.positions[plain]
        for what, key, positions in self._forms:
            found = positions.get(key(image_id), ())
            if len(found) > 1:
                names = ", ".join(self.image_ids[index] for index in found[:4])
                raise DataError(
                    f"{where}: image {image_id[:80]!r} may be {names}; expected the whole name of "
                    "one file",
                    kind="label of a missing image",
                )
            if found:
                self.notices.add(what, f"{image_id} at {where}")
                return found[0]
        return find_image(image_id, self.positions, where)

    @cached_property
    def _forms(self) -> list[tuple[str, Callable[[str], str], dict[str, list[int]]]]:
        """Each form of an id that is accepted: its name, its key, and the images by that key."""
        return [
            ("image ids with a path", str, self._by(str)),
            ("image ids in another Unicode normal form", _composed, self._by(_composed)),
            ("image ids with an ending in other case", _plain_ending, self._by(_plain_ending)),
            ("image ids without their ending", _composed, self._by(_stem)),
        ]

    def _by(self, key: Callable[[str], str]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, names in enumerate(self.places.items()):
            for known in {key(name) for name in names}:
                found.setdefault(known, []).append(index)
        return found


def _composed(image_id: str) -> str:
    return normalize("NFC", image_id)


def _plain_ending(image_id: str) -> str:
    stem, dot, ending = _composed(image_id).rpartition(".")
    return f"{stem}{dot}{ending.lower()}"


def _stem(image_id: str) -> str:
    return _composed(image_id).rpartition(".")[0]
