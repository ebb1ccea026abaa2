"""What a model found, drawn over the images while they are predicted."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from core.explaining.album import Album, Explained
from core.explaining.methods import METHODS, HeatMap
from core.files.writing import make_empty_folder
from core.predicting.signature import Signature
from core.predicting.stream import Row
from core.predicting.trained_model import TrainedModel


class Overlays:
    """A picture of each class that an image is decided to show, and a contact sheet of the first.

    Where the model predicts masks, they are drawn; else what HiResCAM finds.
    """

    def __init__(self, folder: Path, trained: TrainedModel, signature: Signature) -> None:
        """Decided at the thresholds of `signature`; `folder` is made here.

        Raises:
            InputError: a folder that is not empty or cannot be made, or a model that has no maps.
        """
        self.trained, self.thresholds = trained, np.array(signature.thresholds)
        self.method = usual_method(trained)
        check_method(trained, self.method)
        make_empty_folder(folder, "--overlay")
        self.album = Album(folder, self.method, signature.class_names, signature.thresholds)

    def drawn(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, each once its pictures are written; the contact sheet after the last."""
        for row in rows:
            if row.probabilities is not None and (row.probabilities >= self.thresholds).any():
                self._draw(row)
            yield row
        self.album.finish()

    def _draw(self, row: Row) -> None:
        found = row.probabilities >= self.thresholds
        maps = heat_maps(self.trained, self.method, row.pixels)
        decided = [heat for heat in maps if found[heat.class_index]]
        self.album.add(Explained(Path(row.image), row.pixels, row.probabilities, decided, None))


def usual_method(trained: TrainedModel) -> str:
    """What shows best where the model looks: the masks that it predicts, else HiResCAM."""
    has_masks = getattr(trained.model, "mask_head", None) is not None
    return "mask_head" if has_masks else "hires_cam"


def heat_maps(trained: TrainedModel, method: str, pixels: np.ndarray) -> list[HeatMap]:
    """The method's maps of one image. Shape: pixels uint8 (channels, height, width)."""
    image = torch.from_numpy(np.ascontiguousarray(pixels[None])).to(trained.device)
    return METHODS[method](trained.model, image, trained.signature.class_names)


def check_method(trained: TrainedModel, method: str) -> None:
    """Raises InputError for a method that the model does not know, before any image is read."""
    signature = trained.signature
    heat_maps(trained, method, np.zeros((signature.channels, *signature.image_size), np.uint8))
