"""The true masks of images, where the data set of an experiment has any."""

import logging
from pathlib import Path

import numpy as np

from core.data.annotations import LabelTable, read_label_table
from core.errors import InputError
from core.experiments.reading import Experiment

log = logging.getLogger(__name__)


class TrueMasks:
    """Finds the masks of an image file by where it lies in the data set."""

    def __init__(self, experiment: Experiment, data_root: Path | None = None) -> None:
        """From `data_root`, by default from where the experiment read its images.

        Raises:
            InputError: a `data_root` that is no data set with masks.
        """
        root = data_root or Path(str(experiment.look_up("data", "root")))
        data = experiment.results["config"]["data"]
        size, on_bad_image = tuple(data["image_size"]), data.get("on_bad_image", "error")
        self.table: LabelTable | None = None
        try:
            self.table = read_label_table(
                root, experiment.class_names, size, on_bad_image=on_bad_image
            )
        except InputError as error:
            if data_root:
                raise
            log.warning("No masks to outline or to score with: %s", error)
        if self.table is not None and self.table.masks is None:
            log.warning("No masks to outline or to score with: %s has none", self.table.source)
        paths = self.table.image_paths if self.table is not None else ()
        self._index = {path.resolve(): index for index, path in enumerate(paths)}

    def of(self, image: Path) -> np.ndarray | None:
        """Masks uint8 (classes, height, width); None where they are not known."""
        index = self._index.get(image.resolve())
        if index is None or self.table is None or self.table.masks is None:
            return None
        return self.table.masks[index]

    def paths(self, image_ids: tuple[str, ...]) -> list[Path]:
        """The files of these images that show a defect whose mask is known."""
        if self.table is None or self.table.masks is None:
            return []
        wanted = set(image_ids)
        rows = zip(self.table.image_paths, self.table.labels, strict=True)
        return [path for path, labels in rows if path.name in wanted and labels.any()]
