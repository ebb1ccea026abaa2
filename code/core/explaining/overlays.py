"""The classes found, drawn over the images while they are predicted."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from core.explaining.album import Album, Explanation
from core.explaining.methods import check_method, default_method, heat_maps
from core.files.writing import make_empty_folder
from core.predicting.signature import Signature
from core.predicting.stream import Row
from core.predicting.trained_model import TrainedModel


class Overlays:
    """A picture of each class that is found on an image, and a contact sheet of the first images.

    They show the masks that the model predicts, if it does; else HiResCAM.
    """

    def __init__(self, folder: Path, trained: TrainedModel, signature: Signature) -> None:
        """Classes are found at the thresholds of `signature`; `folder` is made here.

        Raises:
            InputError: a folder that is not empty or cannot be made, or a model that has no maps.
        """
        self.trained, self.thresholds = trained, np.array(signature.thresholds)
        self.method = default_method(trained)
        check_method(trained, self.method)
        make_empty_folder(folder, "--overlay")
        self.album = Album(folder, self.method, signature.class_names, signature.thresholds)

    def drawn(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, each after its pictures are written; then the contact sheet is."""
        for row in rows:
            if row.probabilities is not None:
                self._draw(row)
            yield row
        self.album.finish()

    def _draw(self, row: Row) -> None:
        found = row.probabilities >= self.thresholds
        if found.any():
            maps = heat_maps(self.trained, self.method, row.pixels)
            maps = [heat for heat in maps if found[heat.class_index]]
            self.album.add(Explanation(Path(row.image), row.pixels, row.probabilities, maps, None))
