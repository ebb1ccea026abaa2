"""Mixup and cutmix: two strips of a batch in one image, with labels of what shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from core.augmentation.settings import AugmentationSettings, Cutmix, Mixup
from core.augmentation.strip import Strip, steel_columns

_STREAM = 3


@dataclass(frozen=True)
class BatchMixing:
    """Mixes strips of a batch as a pure function of seed, epoch and the indices of the batch.

    A strip is blended (mixup), gets a band (cutmix), or is left alone, each with its probability;
    its partner is another strip of the batch as it was before any mixing.

    Sources: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization",
    2018; Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", 2019, here with bands across the strip.
    """

    mixup: Mixup | None
    cutmix: Cutmix | None
    seed: int

    @classmethod
    def of(cls, settings: AugmentationSettings, seed: int) -> "BatchMixing | None":
        """The mixing that the settings ask for; None for none."""
        toggles = (settings.mixup, settings.cutmix)
        mixup, cutmix = (toggle if toggle and toggle.probability else None for toggle in toggles)
        return cls(mixup, cutmix, seed) if mixup or cutmix else None

    def __call__(
        self, strips: Sequence[tuple], *, epoch: int, indices: Sequence[int]
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

    @property
    def uses_masks(self) -> bool:
        return self.cutmix is not None

    def record(self) -> list[dict[str, Any]]:
        """What runs, in JSON's types."""
        return [toggle.record() for toggle in (self.mixup, self.cutmix) if toggle]

    def _mixed(self, strip: Strip, other: Strip, generator: np.random.Generator) -> Strip:
        chance = generator.random()
        if self.mixup:
            if chance < self.mixup.probability:
                return mix_up(strip, other, generator.beta(self.mixup.alpha, self.mixup.alpha))
            chance -= self.mixup.probability
        if self.cutmix and chance < self.cutmix.probability:
            # A band where both show steel, so that no black border is inserted.
            bounds = zip(_steel(strip.image), _steel(other.image), strict=True)
            start, stop = max(next(bounds)), min(next(bounds))
            length = max(0, stop - start)
            width = round(generator.beta(self.cutmix.alpha, self.cutmix.alpha) * length)
            first = start + int(generator.integers(length - width + 1))
            return cut_in(strip, other, first, first + width)
        return strip


def _steel(image: np.ndarray) -> tuple[int, int]:
    """The columns of steel in any brightness; all columns where none differ from black."""
    start, stop = steel_columns(image, black=int(image.min()))
    return (start, stop) if start < stop else (0, image.shape[1])


def mix_up(strip: Strip, other: Strip, share: float) -> Strip:
    """`share` of a strip and the rest of another, images and labels alike.

    Masks are unknown afterwards: blended defects are only partly present, and losses and scores of
    masks take present or absent only.
    """
    image = cv2.addWeighted(strip.image, share, other.image, 1 - share, 0)
    labels = share * strip.labels + (1 - share) * other.labels
    return Strip(image, None, labels.astype(np.float32))


def cut_in(strip: Strip, other: Strip, first: int, last: int) -> Strip:
    """A strip in which the columns from first to before last are those of another.

    A class is labelled if some of its mask shows. A class whose place is unknown counts by the
    share of its strip's steel that is left. Masks are known if both were.
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
    """How far each class of a strip shows in some of its columns, (C,) from 0 to 1."""
    steel = np.zeros(len(columns), bool)
    steel[slice(*_steel(strip.image))] = True
    share = (columns & steel).sum() / steel.sum()
    if strip.masks is None:
        return strip.labels * share
    by_column = strip.masks.max(axis=1) > 0
    visible = by_column[:, columns].any(axis=1)
    return strip.labels * np.where(by_column.any(axis=1), visible, share)
