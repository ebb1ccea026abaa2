"""The pipeline that a training image passes through, seeded image by image."""

import logging
import os
import random
from functools import cache
from typing import Any, ClassVar

# Its import asks the network for a newer version otherwise.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from core.augmentation.blackout import BlackoutTransform
from core.augmentation.draw import Draw, unchanged
from core.augmentation.mixing import BatchMixing
from core.augmentation.settings import AugmentationSettings, Toggle
from core.augmentation.shift import ShiftTransform
from core.augmentation.strip import Strip, visible_labels
from core.errors import InputError
from core.validation import validate

log = logging.getLogger(__name__)

_FLIPS = (A.HorizontalFlip, A.VerticalFlip)
_GREYS = np.arange(256, dtype=np.uint8)[None]


class AugmentationPipeline:
    """Random transforms whose outcome is a pure function of (seed, epoch, index).

    Each image gets a generator of its own, so that neither the number of workers nor the order of
    images changes a pixel. `batch_transform`, if any, mixes the images of a batch afterwards.
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

        Raises InputError for an unknown toggle, a bad value, and mixup where masks are targets
        (`learns_masks`).
        """
        if not isinstance(settings, AugmentationSettings):
            settings = validate(AugmentationSettings, settings or {}, "augmentation.")
        self.settings = settings
        self.seed = seed
        # Of image, masks and labels together, each with random numbers of its own. Blackout comes
        # first, while every defect can be seen whole.
        toggles = (
            (BlackoutTransform, settings.blackout),
            (ShiftTransform, settings.horizontal_shift),
        )
        self._strip_transforms = [make(each) for make, each in toggles if each and each.probability]
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
        """Whether a transform does nothing with image-level labels."""
        return any(transform.needs_masks for transform in self._strip_transforms)

    @property
    def uses_masks(self) -> bool:
        """Whether a transform of images does more where masks are known."""
        return bool(self._strip_transforms)

    @property
    def reads_masks(self) -> bool:
        """Whether any transform, of images or of batches, looks at masks."""
        return self.uses_masks or getattr(self.batch_transform, "uses_masks", False)

    def __call__(
        self,
        image: np.ndarray,
        masks: np.ndarray | None,
        labels: np.ndarray,
        *,
        epoch: int,
        index: int,
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Transform a strip: its image, masks by the same geometry, labels of what vanishes."""
        strip, key = Strip(image, masks, labels), (self.seed, epoch, index)
        for transform in self._strip_transforms:
            strip = transform(strip, _generator_of(transform, key))
        if not self._compose.transforms:
            return tuple(strip)
        self._seed_compose(key)
        if masks is None:
            return self._compose(image=strip.image)["image"], None, strip.labels
        changed = self._compose(image=strip.image, masks=strip.masks)
        moved = np.asarray(changed["masks"])
        return changed["image"], moved, visible_labels(strip.labels, strip.masks, moved)

    def drawn(
        self, masks: np.ndarray | None, num_classes: int, *, epoch: int, index: int
    ) -> Draw | None:
        """What a call would do to a strip; None if that is more than a `Draw` can say."""
        draw, key = unchanged(num_classes), (self.seed, epoch, index)
        for transform in self._strip_transforms:
            generator = _generator_of(transform, key)
            if isinstance(transform, ShiftTransform):
                share = transform.drawn(generator)
                draw = draw if share is None else draw._replace(shift=share)
                continue
            chosen = transform.drawn(generator, num_classes)
            draw = draw._replace(blackout=chosen)
            # Texture is copied region by region, which a device is slow at.
            is_texture = transform.settings.fill == "texture"
            if is_texture and masks is not None and masks[chosen].max(initial=0):
                return None
        self._seed_compose(key)
        # As `Compose` draws, which also draws whether it is applied itself.
        self._compose.py_random.random()
        for transform in self._compose.transforms:
            if not transform.should_apply():
                continue
            if isinstance(transform, _FLIPS):
                draw.flips[_FLIPS.index(type(transform))] = True
            elif isinstance(transform, A.RandomBrightnessContrast):
                found = transform.get_params_dependent_on_data({}, {"image": _GREYS})
                draw = draw._replace(light=transform.apply(_GREYS, **found).ravel())
            else:
                return None
        return draw

    def _seed_compose(self, key: tuple[int, int, int]) -> None:
        generator = np.random.default_rng(np.random.SeedSequence(key))
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))

    def build(self) -> A.Compose:
        """The transforms of albumentations alone, seeded: `build()(image=image, masks=masks)`.

        Raises:
            InputError: transforms of labels or of batches are on, which only the pipeline has.
        """
        beyond = ("blackout", "horizontal_shift", "mixup", "cutmix")
        on = [key for key in beyond if getattr(getattr(self.settings, key), "probability", 0)]
        if on:
            raise InputError(
                f"augmentation.{on[0]} changes labels as well, which albumentations does not: call "
                "the pipeline itself, or switch it off"
            )
        return A.Compose(self._compose.transforms, seed=self.seed)

    def record(self) -> list[dict[str, Any]]:
        """The transforms that run, in order, in JSON's types."""
        ours = [transform.settings.record() for transform in self._strip_transforms]
        mixing = self.batch_transform.record() if self.batch_transform else []
        return ours + A.to_dict(self._compose)["transform"]["transforms"] + mixing


class DrawnTransform:
    """The transform of a loader that leaves to the device all that `DeviceAugmentation` can do.

    It hands strips on as they are, with their `Draw`. A strip for which something else was drawn
    as well, such as a rotation, is transformed here, and its `Draw` leaves it unchanged. So each
    strip becomes what the pipeline alone makes of it.
    """

    needs_masks: ClassVar[bool] = False

    def __init__(self, pipeline: AugmentationPipeline) -> None:
        self.pipeline = pipeline
        self.uses_masks = pipeline.uses_masks

    def __call__(
        self,
        image: np.ndarray,
        masks: np.ndarray | None,
        labels: np.ndarray,
        *,
        epoch: int,
        index: int,
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, Draw]:
        draw = self.pipeline.drawn(masks, len(labels), epoch=epoch, index=index)
        if draw is not None:
            return image, masks, labels, draw
        strip = self.pipeline(image, masks, labels, epoch=epoch, index=index)
        return *strip, unchanged(len(labels))


def _generator_of(
    transform: BlackoutTransform | ShiftTransform, key: tuple[int, int, int]
) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key, spawn_key=(transform.stream,)))


def _transforms(settings: AugmentationSettings, channels: int) -> list[A.BasicTransform]:
    """The transforms of albumentations, which with `strict` refuses an unknown argument."""
    chosen: list[A.BasicTransform] = []

    def add(transform: type[A.BasicTransform], toggle: Toggle, **arguments: Any) -> None:
        chosen.append(transform(p=toggle.probability, strict=True, **arguments))

    if flip := settings.horizontal_flip:
        add(A.HorizontalFlip, flip)
    if flip := settings.vertical_flip:
        add(A.VerticalFlip, flip)
    if (rotation := settings.rotation) and rotation.degrees:
        add(A.Rotate, rotation, limit=rotation.degrees, border_mode=cv2.BORDER_REFLECT_101)
    light = settings.brightness_contrast
    if light and (light.brightness or light.contrast):
        limits = {"brightness_limit": light.brightness, "contrast_limit": light.contrast}
        add(A.RandomBrightnessContrast, light, **limits)
    jitter = settings.color_jitter
    if jitter and (jitter.saturation or jitter.hue):
        if channels == 1:
            _say_once(
                "augmentation.color_jitter has no effect: grey strips have no saturation and no "
                "hue to change; data.channels=3 reads colour images"
            )
        else:
            saturation = (1 - jitter.saturation, 1 + jitter.saturation)
            hue, unchanged = (-jitter.hue, jitter.hue), {"brightness": (1, 1), "contrast": (1, 1)}
            add(A.ColorJitter, jitter, saturation=saturation, hue=hue, **unchanged)
    if blur := settings.gaussian_blur:
        add(A.GaussianBlur, blur, blur_limit=(3, blur.kernel_size))
    return chosen


@cache
def _say_once(text: str) -> None:
    """A training builds its pipeline to check it, and again for each fold."""
    log.warning("%s", text)
