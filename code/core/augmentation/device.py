"""Flips, light, shift and blackout of a batch on its device, to the same pixels as in the loader.

Nothing here makes Python wait for the device.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from core.augmentation.draw import Draw
from core.augmentation.settings import AugmentationSettings
from core.augmentation.strip import DARKEST_STEEL, STEEL_SHARE


class Strips(NamedTuple):
    """Images uint8 (batch, 1 or 3, H, W), labels float32 (batch, C), masks uint8 (batch, C, H, W)
    or None, and bool (batch,) whether those of an image are known; they are empty if not.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None
    known: Tensor | None


class DeviceAugmentation:
    """Does what `DrawnTransform` left to the device."""

    def __init__(self, settings: AugmentationSettings) -> None:
        def is_on(name: str) -> bool:
            return bool(getattr(getattr(settings, name), "probability", 0))

        self._blacks_out, self._lights = is_on("blackout"), is_on("brightness_contrast")
        self._pixels = settings.horizontal_shift.pixels if is_on("horizontal_shift") else None
        self._moves = self._pixels or is_on("horizontal_flip") or is_on("vertical_flip")

    def __call__(self, strips: Strips, draw: Draw) -> Strips:
        """The transformed batch; the tensors of `draw` are on its device too."""
        if self._blacks_out and strips.masks is not None:
            strips = _with_masks(strips, *_blacked_out(strips, draw.blackout))
        if self._moves:
            height, width = strips.images.shape[2:]
            rows = _flipped(height, draw.flips[:, 1])
            columns = _flipped(width, draw.flips[:, 0])
            if self._pixels:
                columns = _shifted(strips, draw.shift, self._pixels).gather(1, columns)
            masks = None if strips.masks is None else _taken(strips.masks, rows, columns)
            strips = _with_masks(strips, _taken(strips.images, rows, columns), masks)
        if self._lights:
            strips = strips._replace(images=_looked_up(draw.light, strips.images))
        return strips


def _with_masks(strips: Strips, images: Tensor, masks: Tensor | None) -> Strips:
    """The strips with these images and masks; a label whose mask has vanished becomes 0."""
    labels = strips.labels
    if masks is not None:
        gone = (strips.masks.amax((2, 3)) > 0) & (masks.amax((2, 3)) == 0)
        labels = torch.where(gone, torch.zeros_like(labels), labels)
    return strips._replace(images=images, masks=masks, labels=labels)


def _blacked_out(strips: Strips, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Images and masks with the chosen classes, bool (batch, C), painted over with mean grey."""
    images, masks = strips.images, strips.masks
    chosen, nothing = chosen[:, :, None, None], torch.zeros_like(masks)
    kept = torch.where(chosen, nothing, masks).amax(1)
    going = torch.where(chosen, masks, nothing).amax(1)
    painted = (going > kept)[:, None]
    first, last = _steel_columns(images)
    columns = torch.arange(images.shape[3], device=images.device)
    steel = (columns >= first[:, None]) & (columns < last[:, None])
    free = (steel[:, None] & ((kept | going) == 0))[:, None]
    # Whole numbers, so that the order of the sum does not change it.
    number, total = free.sum((2, 3)), (images * free).sum((2, 3))
    of_all = images.sum((2, 3)).double() / (images.shape[2] * images.shape[3])
    mean = torch.where(number > 0, total.double() / number.clamp(min=1), of_all)
    paint = mean.round().to(torch.uint8)[:, :, None, None]
    return torch.where(painted, paint, images), torch.where(painted, nothing, masks)


def _steel_columns(images: Tensor) -> tuple[Tensor, Tensor]:
    """As `strip.steel_columns`, for each image of a batch; int64 (batch,) each."""
    height, width = images.shape[2:]
    bright = (images >= DARKEST_STEEL).any(1)
    steel = bright.sum(1).double() / height > STEEL_SHARE
    columns = torch.arange(width, device=images.device)
    first = torch.where(steel, columns, width).amin(1)
    last = torch.where(steel, columns + 1, 0).amax(1)
    return torch.where(last > 0, first, 0), last


def _shifted(strips: Strips, share: Tensor, pixels: int) -> Tensor:
    """For each column the one that it shows after the shift, int64 (batch, W).

    Columns that come in are those of `shift.shift`: the edge of `size` columns, mirrored outwards.
    """
    width = strips.images.shape[3]
    first, last = _steel_columns(strips.images)
    border = width - last
    farthest = ((last - first) // 2).clamp(max=pixels)
    left, right = torch.minimum(farthest, first), torch.minimum(farthest, border)
    if strips.known is not None:
        left = torch.where(strips.known, farthest, left)
        right = torch.where(strips.known, farthest, right)
    distance = ((left + right).double() * share).round().nan_to_num(0.0).long()
    distance = torch.where(share.isnan(), 0, distance - left)[:, None]
    first, last, border = first[:, None], last[:, None], border[:, None]
    columns = torch.arange(width, device=share.device)
    to_right = distance > 0
    size = torch.where(
        to_right,
        torch.where(first > 0, (first + 1) // 2, last),
        torch.where(border > 0, (border + 1) // 2, width - first),
    ).clamp(min=1)
    # How far beyond the edge a column lies, from 0; negative where it shows what has moved.
    beyond = torch.where(to_right, distance - 1 - columns, columns - (width + distance))
    turn = beyond % (2 * size)
    mirrored = torch.where(turn < size, turn, 2 * size - 1 - turn)
    coming_in = torch.where(to_right, mirrored, width - 1 - mirrored)
    return torch.where(beyond >= 0, coming_in, columns - distance)


def _flipped(length: int, flips: Tensor) -> Tensor:
    """The places 0 to length - 1, or backwards where `flips` (batch,); int64 (batch, length)."""
    places = torch.arange(length, device=flips.device)
    return torch.where(flips[:, None], length - 1 - places, places)


def _taken(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`planes` (batch, channels, H, W) with these of their own rows and columns."""
    batch, channels = (torch.arange(size, device=planes.device) for size in planes.shape[:2])
    return planes[
        batch[:, None, None, None],
        channels[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def _looked_up(light: Tensor, images: Tensor) -> Tensor:
    """Each grey value replaced by its entry in the image's table. Shape: light (batch, 256)."""
    offsets = 256 * torch.arange(len(light), dtype=torch.int32, device=light.device)
    places = images.int() + offsets[:, None, None, None]
    return light.flatten().index_select(0, places.flatten()).view(images.shape)
