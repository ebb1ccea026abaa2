"""The pipeline that a training image passes through, seeded image by image."""

import os
import random
from typing import Any, Protocol

# Its import asks the network for a newer version otherwise.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from core.augmentation.blackout import BlackoutTransform
from core.augmentation.mixing import BatchMixing
from core.augmentation.settings import AugmentationSettings
from core.augmentation.shift import ShiftTransform
from core.augmentation.strip import Strip
from core.errors import InputError
from core.validation import validate


class StripTransform(Protocol):
    """A transform of image, masks and labels together."""

    stream: int
    """Its own stream of random numbers, so that none changes what another draws."""
    needs_masks: bool
    """Whether it can do nothing with image-level labels."""
    uses_masks: bool
    """Whether it does more where masks are known."""

    def __call__(self, strip: Strip, generator: np.random.Generator) -> Strip:
        """The changed strip; the given one is left as it is."""
        ...

    def record(self) -> dict[str, Any]:
        """What runs, in JSON's types."""
        ...


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
        learns_masks: bool = False,
    ) -> None:
        """Build the pipeline of `settings`, given as such or as a dict of toggles.

        `learns_masks` says that masks are targets. `batch_transform` mixes what the pipeline
        made of the images of a batch; None where nothing is mixed.

        Raises:
            InputError: an unknown toggle or a bad value; colour jitter on grey images; mixup
                where masks are targets.
        """
        if not isinstance(settings, AugmentationSettings):
            settings = validate(AugmentationSettings, settings or {}, "augmentation")
        self.settings = settings
        self.seed = seed
        self._strip_transforms = _strip_transforms(settings)
        self.batch_transform = BatchMixing.of(settings, seed)
        if learns_masks and self.batch_transform and self.batch_transform.mixup:
            raise InputError(
                f"augmentation.mixup.probability={settings.mixup.probability}: a blend of two "
                "strips has no mask that mask_loss could learn: set augmentation.mixup=null, "
                "or take augmentation.cutmix, which keeps masks"
            )
        self._compose = A.Compose(_transforms(settings, channels))

    @property
    def is_empty(self) -> bool:
        """Whether images pass unchanged; `batch_transform` may still mix them."""
        return not self._strip_transforms and not self._compose.transforms

    @property
    def needs_masks(self) -> bool:
        """Whether a transform can do nothing with image-level labels."""
        return any(transform.needs_masks for transform in self._strip_transforms)

    @property
    def reads_masks(self) -> bool:
        """Whether any transform, of images or of batches, looks at masks."""
        mixing = self.batch_transform
        return self.uses_masks or (mixing is not None and mixing.uses_masks)

    @property
    def uses_masks(self) -> bool:
        """Whether a transform does more where masks are known."""
        return any(transform.uses_masks for transform in self._strip_transforms)

    def __call__(
        self,
        image: np.ndarray,
        masks: np.ndarray | None,
        labels: np.ndarray,
        *,
        epoch: int,
        index: int,
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Transform an image, its masks by the same geometry, and its labels where defects go.

        Shape: image uint8 (H, W) or (H, W, 3); masks uint8 (C, H, W) or None; labels float32
        (C,); same shapes out.
        """
        strip, key = Strip(image, masks, labels), (self.seed, epoch, index)
        for transform in self._strip_transforms:
            own = np.random.SeedSequence(key, spawn_key=(transform.stream,))
            strip = transform(strip, np.random.default_rng(own))
        if not self._compose.transforms:
            return tuple(strip)
        generator = np.random.default_rng(np.random.SeedSequence(key))
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        if masks is None:
            return self._compose(image=strip.image)["image"], None, strip.labels
        changed = self._compose(image=strip.image, masks=strip.masks)
        return changed["image"], np.asarray(changed["masks"]), strip.labels

    def record(self) -> list[dict[str, Any]]:
        """The transforms that run, in order, in JSON's types."""
        ours = [transform.record() for transform in self._strip_transforms]
        mixing = self.batch_transform.record() if self.batch_transform else []
        return ours + A.to_dict(self._compose)["transform"]["transforms"] + mixing


def _strip_transforms(settings: AugmentationSettings) -> list[StripTransform]:
    """Blackout comes first, while every defect can be seen whole."""
    chosen: list[StripTransform] = []
    if (blackout := settings.blackout) and blackout.probability:
        chosen.append(BlackoutTransform(blackout))
    if (shift := settings.horizontal_shift) and shift.probability:
        chosen.append(ShiftTransform(shift))
    return chosen


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
