"""The label sets of images that lie in a labelled data set, found by their path."""

import logging
from pathlib import Path

from core.data.annotations import read_agreed_labels
from core.data.label_table import LabelTable
from core.data.model_labels import names_to_read
from core.data.sources import image_folder, labelled_folders, sources_in
from core.data.trained_labels import ReadCorrections, as_trained_on
from core.errors import InputError
from core.experiments.reading import Experiment
from core.files.image_folders import RUN_LENGTH_CSV
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
    """The classes that an image shows; each data set is read once, when it is first met.

    Of the data set that a training read, they are those that it learned from.
    """

    def __init__(
        self, experiment: Experiment, image_size: Size | Resize, read_corrections: ReadCorrections
    ) -> None:
        """The label sets are those of the experiment's classes, where a data set has them."""
        self.class_names, self.trained_on = _classes_of(experiment)
        self.experiment, self.image_size = experiment, image_size
        self.read_corrections = read_corrections
        self._of_folder: dict[Path, LabelsByName] = {}
        self._of_root: dict[Path, dict[Path, LabelsByName]] = {}

    def of(self, image: str) -> LabelSet | None:
        """The label set, empty for a clean strip; None where it is not known."""
        path = Path(image)
        if path.parent not in self._of_folder:
            self._of_folder[path.parent] = self._find(path.parent)
        return self._of_folder[path.parent].get(path.name)

    def _find(self, folder: Path) -> LabelsByName:
        """The labels of this folder's images, by the data set that the folder belongs to."""
        # As it is named, and where it is: a link has other parents.
        for place in dict.fromkeys((folder.absolute(), folder.resolve())):
            for root in list(place.parents)[:_MOST_FOLDERS]:
                for _, images in labelled_folders(root):
                    if place.is_relative_to(images):
                        return self._read(root).get(place, {})
        return {}

    def _read(self, root: Path) -> dict[Path, LabelsByName]:
        """The labels of a data set, by folder and name of each image."""
        if root not in self._of_root:
            self._of_root[root] = {}
            try:
                table = self._table(root)
            except InputError as error:
                log.warning("The labels in %s are not used: %s", root, error)
                return {}
            for row, path in enumerate(table.image_paths):
                in_folder = self._of_root[root].setdefault(path.parent, {})
                in_folder[path.name] = table.label_set(row)
        return self._of_root[root]

    def _table(self, root: Path) -> LabelTable:
        given = self.class_names and names_to_read(root, self.class_names, self.trained_on)
        try:
            table = read_agreed_labels(root, given, self.image_size, missing_masks="ignore")
        except InputError:
            if not given or sources_in(root)[0] == RUN_LENGTH_CSV:
                raise
            # An encoder is of use on defects of other classes as well.
            return read_agreed_labels(root, None, self.image_size, missing_masks="ignore")
        known = self.experiment.look_up("data", "root")
        if known is None or sorted(table.class_names) != sorted(self.class_names or ()):
            return table
        is_moved = Path(known).resolve() != root.resolve()
        table = table.reorder_classes(self.class_names)
        return as_trained_on(table, self.experiment.results, self.read_corrections, is_moved)


def _classes_of(experiment: Experiment) -> tuple[list[str] | None, str | None]:
    """The classes that an experiment was told of, and the label source that it read."""
    if not experiment.is_pretraining:
        return experiment.class_names, experiment.look_up("data", "source")
    root = experiment.look_up("data", "probe")
    sources = sources_in(Path(root)) if root else []
    return experiment.look_up("config", "data", "class_names"), sources[0] if sources else None
