"""The label sets of images that lie in a labelled data set, found by their path."""

import logging
from pathlib import Path

from core.data.annotations import read_label_table
from core.data.sources import image_folder, labelled_folders, sources_in
from core.errors import InputError
from core.files.resizing import Resize, Size

log = logging.getLogger(__name__)

LabelSet = tuple[str, ...]
LabelsByName = dict[str, LabelSet]
# The root lies at most so many folders above an image.
_MOST_FOLDERS = 3


def labelled_images(word: str) -> str:
    """The folder of images, where the word is a labelled data set; else the word as it is."""
    path = Path(word)
    if path.is_dir() and (sources := sources_in(path)):
        return str(image_folder(path, sources[0]))
    return word


class KnownLabels:
    """The classes that an image shows; each data set is read once, when it is first met."""

    def __init__(self, image_size: Size | Resize) -> None:
        self.image_size = image_size
        self._of_folder: dict[Path, LabelsByName] = {}
        self._of_root: dict[Path, dict[Path, LabelsByName]] = {}

    def of(self, image: str) -> LabelSet | None:
        """The label set, empty for a clean strip; None where it is not known."""
        path = Path(image)
        if path.parent not in self._of_folder:
            self._of_folder[path.parent] = self._find(path.parent.absolute())
        return self._of_folder[path.parent].get(path.name)

    def _find(self, folder: Path) -> LabelsByName:
        """The labels of this folder's images, by the data set that the folder belongs to."""
        for root in [folder, *folder.parents][1 : _MOST_FOLDERS + 1]:
            for _, images in labelled_folders(root):
                if folder.is_relative_to(images):
                    return self._read(root).get(folder, {})
        return {}

    def _read(self, root: Path) -> dict[Path, LabelsByName]:
        """The labels of a data set, by folder and name of each image."""
        if root not in self._of_root:
            self._of_root[root] = {}
            try:
                table = read_label_table(root, None, self.image_size, missing_masks="ignore")
            except InputError as error:
                log.warning("The labels in %s are not used: %s", root, error)
                return {}
            for row, path in enumerate(table.image_paths):
                in_folder = self._of_root[root].setdefault(path.parent, {})
                in_folder[path.name] = table.label_set(row)
        return self._of_root[root]
