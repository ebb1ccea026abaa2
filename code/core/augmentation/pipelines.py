"""The pipeline that a training image passes through, seeded image by image."""

import os
import random
from typing import Any

# Its import asks the network for a newer version otherwise.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from core.augmentation.settings import AugmentationSettings
from core.errors import InputError
from core.validation import validate


class AugmentationPipeline:
    """Random transforms whose outcome is a pure function of (seed, epoch, index).

    albumentations' own generators are shared by the workers of a loader and repeat each epoch;
    here each image gets a generator of its own, so that neither the number of workers nor the
    order of images changes a pixel.
    """

    def __init__(
        self,
        settings: AugmentationSettings | dict[str, Any] | None = None,
        *,
        channels: int = 1,
        seed: int = 0,
    ) -> None:
        """Build the pipeline of `settings`, given as such or as a dict of toggles.

        Raises:
            InputError: an unknown toggle or a bad value; colour jitter on grey images.
        """
        if not isinstance(settings, AugmentationSettings):
            settings = validate(AugmentationSettings, settings or {}, "augmentation")
        self.settings = settings
        self.seed = seed
        self._compose = A.Compose(_transforms(settings, channels))

    def __call__(
        self, image: np.ndarray, masks: np.ndarray | None = None, *, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Transform an image, and its masks by the same geometry.

        Shape: image uint8 (H, W) or (H, W, 3); masks uint8 (C, H, W) or None; same shapes out.
        """
        if not self._compose.transforms:
            return image, masks
        generator = np.random.default_rng(np.random.SeedSequence((self.seed, epoch, index)))
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        if masks is None:
            return self._compose(image=image)["image"], None
        changed = self._compose(image=image, masks=masks)
        return changed["image"], np.asarray(changed["masks"])

    def record(self) -> list[dict[str, Any]]:
        """The transforms that run, in order, in JSON's types."""
        return A.to_dict(self._compose)["transform"]["transforms"]


def _transforms(settings: AugmentationSettings, channels: int) -> list[A.BasicTransform]:
    """strict=True: albumentations otherwise ignores an argument it does not know."""
    chosen: list[A.BasicTransform] = []
    if flip := settings.horizontal_flip:
        chosen.append(A.HorizontalFlip(p=flip.probability, strict=True))
    if flip := settings.vertical_flip:
        chosen.append(A.VerticalFlip(p=flip.probability, strict=True))
    if (rotation := settings.rotation) and rotation.degrees:
        chosen.append(
            A.Rotate(
                limit=(-rotation.degrees, rotation.degrees),
                border_mode=cv2.BORDER_REFLECT_101,
                p=rotation.probability,
                strict=True,
            )
        )
    light = settings.brightness_contrast
    if light and (light.brightness or light.contrast):
        chosen.append(
            A.RandomBrightnessContrast(
                brightness_limit=(-light.brightness, light.brightness),
                contrast_limit=(-light.contrast, light.contrast),
                p=light.probability,
                strict=True,
            )
        )
    chosen += _color_jitter(settings, channels)
    if blur := settings.gaussian_blur:
        limit = (3, blur.kernel_size)
        chosen.append(A.GaussianBlur(blur_limit=limit, p=blur.probability, strict=True))
    return chosen


def _color_jitter(settings: AugmentationSettings, channels: int) -> list[A.BasicTransform]:
    jitter = settings.color_jitter
    if not jitter or not (jitter.saturation or jitter.hue):
        return []
    if channels == 1:
        key, value = ("saturation", jitter.saturation) if jitter.saturation else ("hue", jitter.hue)
        raise InputError(
            f"augmentation.color_jitter.{key}={value}: grey strips have no colour to change: "
            "use augmentation.brightness_contrast, or data.channels=3 for colour images"
        )
    return [
        A.ColorJitter(
            brightness=(1, 1),
            contrast=(1, 1),
            saturation=(1 - jitter.saturation, 1 + jitter.saturation),
            hue=(-jitter.hue, jitter.hue),
            p=jitter.probability,
            strict=True,
        )
    ]
