"""The true masks of images, where the data set of an experiment has any."""

import logging
from pathlib import Path

import numpy as np

from core.data.label_table import LabelTable
from core.data.model_labels import read_model_labels
from core.data.trained_labels import ReadCorrections, as_trained_on
from core.errors import InputError
from core.experiments.strips import Strips
from core.predicting.trained_model import TrainedModel

log = logging.getLogger(__name__)


class TrueMasks:
    """Finds the masks of an image by the place of its file in the data set.

    Masks that the training was told not to use are not known here either.
    """

    def __init__(
        self,
        trained: TrainedModel,
        read_corrections: ReadCorrections,
        data_root: Path | None = None,
    ) -> None:
        """In `data_root`, by default where the experiment read its images.

        Raises:
            InputError: a `data_root` that is no data set with masks.
        """
        self.strips = Strips(trained.experiment, data_root)
        self.table: LabelTable | None = None
        self._indices: dict[Path, int] = {}
        data, signature = trained.experiment.results["config"]["data"], trained.signature
        try:
            table = read_model_labels(
                self.strips.root,
                signature.class_names,
                trained.experiment.look_up("data", "source"),
                signature.image_format.image_size,
                data.get("on_bad_image", "error"),
            )
            if table.masks is not None:
                results, is_moved = trained.experiment.results, data_root is not None
                table = as_trained_on(table, results, read_corrections, is_moved)
        except InputError as error:
            if data_root:
                raise
            log.warning("No masks to outline or to score with: %s", error)
            return
        if table.masks is None:
            log.warning("No masks to outline or to score with: %s has none", table.source)
            return
        self.table = table
        self._indices = {path.resolve(): index for index, path in enumerate(table.image_paths)}

    def of(self, image: Path) -> np.ndarray | None:
        """Masks uint8 (classes, height, width); None where they are not known."""
        index = self._indices.get(image.resolve())
        return None if index is None else self.table.masks[index]

    def paths(self, part: str) -> list[Path]:
        """The files of a part of the split that show a defect whose mask is known."""
        if self.table is None:
            return []
        wanted = set(self.strips.ids(part))
        # By their masks: a label that is wrong on purpose has none.
        masks, known = self.table.masks, self.table.has_masks()
        rows = enumerate(zip(self.table.image_ids, self.table.image_paths, strict=True))
        return [
            path
            for row, (image_id, path) in rows
            if image_id in wanted and known[row] and masks.codes.get(row)
        ]
