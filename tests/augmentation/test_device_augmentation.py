"""What the device makes of a batch is what the loader's pipeline makes of each strip."""

import numpy as np
import pytest
import torch
from cuda_devices import each_device
from torch.utils.data import default_collate, default_convert

from core.augmentation.device import DeviceAugmentation, Strips
from core.augmentation.draw import Draw, unchanged
from core.augmentation.pipelines import AugmentationPipeline, DrawnTransform
from core.augmentation.settings import AugmentationSettings
from core.augmentation.strip import Strip

OFF = dict.fromkeys(AugmentationSettings.model_fields)
NUM_CLASSES, NUM_STRIPS = 3, 64
SIZES = {"even": (16, 100), "odd": (13, 71)}
ALONE = {
    "horizontal_flip": {"probability": 0.5},
    "vertical_flip": {"probability": 0.5},
    "brightness_contrast": {"probability": 0.7, "brightness": 0.6, "contrast": 0.9},
    "horizontal_shift": {"probability": 0.8, "pixels": 90},
    "blackout": {"probability": 0.5, "fill": "mean"},
}
CASES = {
    **{name: {name: toggle} for name, toggle in ALONE.items()},
    "together": ALONE,
    "with what stays in the loader": {**ALONE, "rotation": 0.3, "gaussian_blur": 0.2},
    "texture": {"blackout": {"probability": 0.5, "fill": "texture"}, "horizontal_flip": True},
    "none of the device's": {"rotation": 0.5},
}


def strips(size: tuple[int, int], channels: int, with_masks: bool) -> list[Strip]:
    """Steel with borders of every width, some all black, some masks unknown."""
    generator = np.random.default_rng(8)
    found = []
    for number in range(NUM_STRIPS):
        shape = size if channels == 1 else (*size, channels)
        image = generator.integers(30, 256, shape, dtype=np.uint8)
        border = int(generator.integers(0, size[1] + 1)) if number % 3 else 0
        black = slice(0, border) if number % 2 else slice(size[1] - border, None)
        image[:, black] = generator.integers(0, 9, image[:, black].shape)
        masks = np.zeros((NUM_CLASSES, *size), np.uint8)
        for _ in range(int(generator.integers(4))):
            column, top = int(generator.integers(NUM_CLASSES)), int(generator.integers(size[0]))
            left, width = generator.integers(0, size[1], 2)
            masks[column, top : top + 4, left : left + width] = 1
        if number == 5:
            image[:], masks[1] = 0, 1
        if number % 8 == 6:
            masks[1] = 1  # no steel is without defects
        known = with_masks and number % 4 != 3
        labels = masks.any(axis=(1, 2)).astype(np.float32)
        found.append(Strip(image, masks if known else None, labels))
    return found


def on_device(pipeline, given: list[Strip], device: torch.device, with_masks: bool) -> Strips:
    """A batch as the loader collates it, finished on the device."""
    transform = DrawnTransform(pipeline)
    handed = [
        transform(*map(copy_of, strip), epoch=2, index=index) for index, strip in enumerate(given)
    ]
    images = np.stack([strip[0] for strip in handed])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    masks = known = None
    if with_masks:
        empty = np.zeros((NUM_CLASSES, *images.shape[2:]), np.uint8)
        masks = torch.from_numpy(np.stack([empty if s[1] is None else s[1] for s in handed])).to(
            device
        )
        known = torch.tensor([s[1] is not None for s in handed], device=device)
    labels = torch.from_numpy(np.stack([s[2] for s in handed])).to(device)
    batch = Strips(torch.from_numpy(images.copy()).to(device), labels, masks, known)
    draws = default_collate([default_convert(strip[3]) for strip in handed])
    return DeviceAugmentation(pipeline.settings)(batch, Draw(*(t.to(device) for t in draws)))


def copy_of(part: np.ndarray | None) -> np.ndarray | None:
    return None if part is None else part.copy()


@each_device
@pytest.mark.parametrize("with_masks", [True, False], ids=["masks", "labels only"])
@pytest.mark.parametrize(("size", "channels"), [("even", 1), ("odd", 1), ("even", 3)])
@pytest.mark.parametrize("case", CASES)
def test_the_device_makes_the_same_strips(case, size, channels, with_masks, device):
    pipeline = AugmentationPipeline({**OFF, **CASES[case]}, channels=channels, seed=6)
    given = strips(SIZES[size], channels, with_masks)
    found = on_device(pipeline, given, device, with_masks)
    images, masks, labels = (
        None if part is None else part.cpu().numpy()
        for part in (found.images, found.masks, found.labels)
    )
    changed = 0
    for index, strip in enumerate(given):
        expected = Strip(*pipeline(*map(copy_of, strip), epoch=2, index=index))
        image = images[index, 0] if channels == 1 else images[index].transpose(1, 2, 0)
        assert np.array_equal(image, expected.image), index
        assert np.array_equal(labels[index], expected.labels), index
        if expected.masks is not None:
            assert np.array_equal(masks[index], expected.masks), index
        changed += not np.array_equal(expected.image, strip.image)
    assert changed > NUM_STRIPS // 8 or (case == "blackout" and not with_masks)


def test_a_strip_is_transformed_in_the_loader_only_if_it_must_be():
    """With a rotation for some strips, the others are still left to the device."""
    pipeline = AugmentationPipeline({**OFF, "horizontal_flip": 0.5, "rotation": 0.3}, seed=1)
    transform = DrawnTransform(pipeline)
    (strip, *_) = strips(SIZES["even"], 1, True)
    left = []
    for index in range(40):
        image, _, _, draw = transform(*strip, epoch=1, index=index)
        turned = not np.array_equal(image, strip.image)
        left.append(not turned)
        if turned:
            same = zip(draw, unchanged(NUM_CLASSES), strict=True)
            assert all(np.array_equal(a, b, equal_nan=True) for a, b in same)
    assert 20 < sum(left) < 36


@each_device
def test_it_draws_anew_for_each_epoch_and_never_from_a_global_generator(device):
    pipeline = AugmentationPipeline({**OFF, **ALONE}, seed=6)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    given = strips(SIZES["even"], 1, True)
    first, second = (on_device(pipeline, given, device, True).images.cpu() for _ in range(2))
    assert torch.equal(first, second)
    transform = DrawnTransform(pipeline)
    draws = [transform(*given[0], epoch=epoch, index=0)[3] for epoch in range(6)]
    assert len({draw.light.tobytes() for draw in draws}) > 2
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
