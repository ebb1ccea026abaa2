"""The true masks of images, where the data set of an experiment has any."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.data.corrections import Corrections, corrected
from core.data.label_agreement import without_masks_of
from core.data.label_table import LabelTable
from core.data.model_labels import read_model_labels
from core.data.weak_supervision import flip_labels
from core.errors import InputError
from core.experiments.strips import Strips
from core.predicting.trained_model import TrainedModel

log = logging.getLogger(__name__)


ReadCorrections = Callable[[Path], Corrections]


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
        self.experiment, self.read_corrections = trained.experiment, read_corrections
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
                table = self._as_trained_on(table, is_moved=data_root is not None)
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

    def _as_trained_on(self, table: LabelTable, is_moved: bool) -> LabelTable:
        """The table with `data.unused_masks` and `data.corrections` of the experiment.

        What is moved may be another data set, which neither of them is about.
        """
        data = self.experiment.results["config"]["data"]
        shown = dict(zip(table.image_ids, table.labels.any(axis=1), strict=True))
        unused = data.get("unused_masks") or ()
        if is_moved:
            unused = [image_id for image_id in unused if shown.get(image_id)]
        table = without_masks_of(table, unused)
        if not data.get("corrections"):
            return table
        # They were decided on the labels of the training, those that are wrong on purpose included.
        share, seed = data.get("label_noise"), data.get("generation_seed")
        given = flip_labels(table, share, seed, data.get("label_noise_kind", "uniform"))
        known = self.experiment.look_up("data", "corrections", "given_fingerprint")
        if is_moved and given.fingerprint() != known:
            return table
        return corrected(given, self.read_corrections(Path(data["corrections"])))

    def of(self, image: Path) -> np.ndarray | None:
        """Masks uint8 (classes, height, width); None where they are not known."""
        index = self._indices.get(image.resolve())
        return None if index is None else self.table.masks[index]

    def paths(self, part: str) -> list[Path]:
        """The files of a part of the split that show a defect whose mask is known."""
        if self.table is None:
            return []
        wanted = set(self.strips.ids(part))
        shown = self.table.labels.any(axis=1) & self.table.has_masks()
        rows = zip(self.table.image_ids, self.table.image_paths, shown, strict=True)
        return [path for image_id, path, is_shown in rows if image_id in wanted and is_shown]
