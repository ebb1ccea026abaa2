"""Mixup and cutmix: two strips of a batch in one image, with labels of what shows."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from core.augmentation.borders import steel_columns
from core.augmentation.settings import AugmentationSettings, Cutmix, Mixup
from core.augmentation.strip import Strip

_STREAM = 3


class BatchMixing:
    """Mixes strips of a batch as a pure function of seed, epoch and the indices of the batch.

    A strip is mixed up, or cut, or left alone, each with its probability; its partner is another
    strip of the batch as it was before any mixing.

    Sources: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization",
    2018; Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", 2019, here with bands across the strip.
    """

    def __init__(self, mixup: Mixup | None, cutmix: Cutmix | None, seed: int) -> None:
        self.mixup = mixup
        self.cutmix = cutmix
        self.seed = seed
        self.uses_masks = cutmix is not None

    @classmethod
    def of(cls, settings: AugmentationSettings, seed: int) -> "BatchMixing | None":
        """The mixing that the settings ask for; None for none."""
        mixup, cutmix = (
            part if part and part.probability else None
            for part in (settings.mixup, settings.cutmix)
        )
        return cls(mixup, cutmix, seed) if mixup or cutmix else None

    def __call__(
        self,
        strips: Sequence[tuple[np.ndarray, np.ndarray | None, np.ndarray]],
        *,
        epoch: int,
        indices: Sequence[int],
    ) -> list[Strip]:
        """The mixed batch; `indices` are those that the strips were transformed with."""
        whole = [Strip(*strip) for strip in strips]
        key = np.random.SeedSequence((self.seed, epoch, *indices), spawn_key=(_STREAM,))
        generator = np.random.default_rng(key)
        order = generator.permutation(len(whole)).tolist()
        mixed = list(whole)
        for number, partner in zip(order, order[-1:] + order[:-1], strict=True):
            if partner != number:
                mixed[number] = self._mixed(whole[number], whole[partner], generator)
        return mixed

    def record(self) -> list[dict[str, Any]]:
        """What runs, in JSON's types."""
        parts = [part for part in (self.mixup, self.cutmix) if part]
        return [{"__class_fullname__": type(part).__name__, **part.model_dump()} for part in parts]

    def _mixed(self, strip: Strip, other: Strip, generator: np.random.Generator) -> Strip:
        chance = generator.random()
        if self.mixup:
            if chance < self.mixup.probability:
                return mix_up(strip, other, generator.beta(self.mixup.alpha, self.mixup.alpha))
            chance -= self.mixup.probability
        if self.cutmix and chance < self.cutmix.probability:
            start, stop = _steel_of_both(strip.image, other.image)
            length = max(0, stop - start)
            width = round(generator.beta(self.cutmix.alpha, self.cutmix.alpha) * length)
            first = start + int(generator.integers(length - width + 1))
            return cut_in(strip, other, first, first + width)
        return strip


def _steel_of_both(image: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """First and one past the last column of a band: no black border in the middle of a strip."""
    (start, stop), (other_start, other_stop) = _steel(image), _steel(other)
    return max(start, other_start), min(stop, other_stop)


def _steel(image: np.ndarray) -> tuple[int, int]:
    """The columns of steel, or all where none can be told from black, in any brightness."""
    start, stop = steel_columns(image, black=int(image.min()))
    return (start, stop) if start < stop else (0, image.shape[1])


def mix_up(strip: Strip, other: Strip, share: float) -> Strip:
    """`share` of a strip and the rest of another, images and labels alike.

    Masks are unknown afterwards: a defect that shines through by half is neither there nor not,
    and losses and scores of masks know nothing between.
    """
    image = cv2.addWeighted(strip.image, share, other.image, 1 - share, 0)
    labels = share * strip.labels + (1 - share) * other.labels
    return Strip(image, None, labels.astype(np.float32))


def cut_in(strip: Strip, other: Strip, first: int, last: int) -> Strip:
    """A strip in which the columns from first to before last are those of another.

    A class is labelled where some of its mask shows. A class whose place is unknown counts by
    the share of its strip's steel that is left. Masks are known where both were.
    """
    inside = np.zeros(strip.image.shape[1], bool)
    inside[first:last] = True
    image = strip.image.copy()
    image[:, first:last] = other.image[:, first:last]
    masks = None
    if strip.masks is not None and other.masks is not None:
        masks = strip.masks.copy()
        masks[:, :, first:last] = other.masks[:, :, first:last]
    labels = np.minimum(1, _shown(strip, ~inside) + _shown(other, inside))
    return Strip(image, masks, labels.astype(np.float32))


def _shown(strip: Strip, columns: np.ndarray) -> np.ndarray:
    """How far each class of a strip shows in some of its columns, (C,) within [0, 1]."""
    steel = np.zeros(len(columns), bool)
    steel[slice(*_steel(strip.image))] = True
    share = (columns & steel).sum() / steel.sum()
    if strip.masks is None:
        return strip.labels * share
    by_column = strip.masks.max(axis=1) > 0
    visible = by_column[:, columns].any(axis=1)
    return strip.labels * np.where(by_column.any(axis=1), visible, share)
