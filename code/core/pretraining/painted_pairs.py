"""Pairs of a painted strip and the mask of its painted defects."""

from dataclasses import dataclass

import numpy as np

from core.data.image_source import ImageSource
from core.pretraining.painting.painter import Painter
from core.pretraining.views import PairOfViews


@dataclass(frozen=True)
class PaintedPairs:
    """Paints a view of an image with pieces of others, a pure function of (seed, epoch, index).

    Defects are painted into the view, not before it, so that no view hides them. `rows` are those
    of `images` that pieces are cut from, of `num_sources` strips for each image.
    """

    painter: Painter
    views: PairOfViews
    images: ImageSource
    rows: np.ndarray
    num_sources: int

    def __call__(
        self, image: np.ndarray, *, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The painted view and its mask. Shape: uint8 (H, W) or (H, W, 3) -> the same and (H, W)"""
        key = np.random.SeedSequence((self.views.seed, epoch, index))
        generator = np.random.default_rng(key)
        view = self.views.one(image, generator)
        rows = self.rows[generator.integers(len(self.rows), size=self.num_sources)]
        sources = [self.images.read(int(row)) for row in rows if row != index]
        image, mask = self.painter.paint(view, sources, generator)
        return image, mask
