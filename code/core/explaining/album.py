"""The pictures of explained images: one per image and map, and a contact sheet of all."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.experiments.drawing import outlined, overlay
from core.explaining.methods import HeatMap
from core.explaining.pictures import captioned, contact_sheet
from core.explaining.scores import enlarge
from core.files.writing import replacing

# Strips on the contact sheet; every image has its own pictures beside it.
SHEET_IMAGES = 24
# Bytes of an image's name that its pictures take over: file systems allow 255 in all.
LONGEST_STEM = 150
# Of the sheet: as PNG, dozens of textured strips take ten times the space.
JPEG_QUALITY = 85
# The most that the format holds.
JPEG_SIDE = 65_500


@dataclass(frozen=True)
class Explained:
    """One image: its pixels, what the model says of it, and its maps.

    Shape: pixels uint8 (channels, height, width); probabilities (classes,); masks (classes,
    height, width), None where they are not known.
    """

    path: Path
    pixels: np.ndarray
    probabilities: np.ndarray
    maps: list[HeatMap]
    masks: np.ndarray | None

    @property
    def present(self) -> list[int]:
        """The classes that the image shows."""
        return [] if self.masks is None else [c for c, mask in enumerate(self.masks) if mask.any()]


class Album:
    """Pictures of a method's maps in a folder."""

    def __init__(
        self, folder: Path, method: str, class_names: Sequence[str], thresholds: Sequence[float]
    ) -> None:
        self.folder, self.method = folder, method
        self.class_names, self.thresholds = tuple(class_names), tuple(thresholds)
        self.sheet: list[list[np.ndarray]] = []
        # Of names that came again only, so that any number of images takes the same memory.
        self.numbers: dict[str, int] = {}

    def add(self, explained: Explained) -> None:
        """Write a picture of each map: `<image>_<class>.png`."""
        grey = explained.pixels[0]
        if len(explained.pixels) == 3:
            grey = cv2.cvtColor(explained.pixels.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY)
        stem = self._unused_stem(explained)
        block = [self._plain(explained, grey)]
        for heat in explained.maps:
            picture = self._picture(explained, grey, heat)
            _write_picture(self.folder / f"{stem}_{heat.name}.png", picture)
            if self._is_telling(explained, heat):
                block.append(picture)
        if len(self.sheet) < SHEET_IMAGES:
            self.sheet.append(block)

    def finish(self) -> None:
        """Write contact_sheet.jpg, where there was any image."""
        if self.sheet:
            sheet = _within(contact_sheet(self.sheet), JPEG_SIDE)
            _write_picture(self.folder / "contact_sheet.jpg", sheet)

    def _unused_stem(self, explained: Explained) -> str:
        """What the image's pictures are named by: its name, numbered where another has that."""
        stem = os.fsdecode(os.fsencode(explained.path.stem)[:LONGEST_STEM])
        names = dict.fromkeys([*self.class_names, *(heat.name for heat in explained.maps)])
        number = self.numbers.get(stem, 1)
        while True:
            numbered = stem if number == 1 else f"{stem}_{number}"
            if not any((self.folder / f"{numbered}_{name}.png").exists() for name in names):
                return numbered
            number += 1
            self.numbers[stem] = number

    def _plain(self, explained: Explained, grey: np.ndarray) -> np.ndarray:
        picture = outlined(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), _union(explained.masks))
        text = explained.path.name
        if explained.masks is not None:
            shown = ", ".join(self.class_names[c] for c in explained.present)
            text += f"   masks: {shown or 'none'}"
        return captioned(picture, text)

    def _picture(self, explained: Explained, grey: np.ndarray, heat: HeatMap) -> np.ndarray:
        index, masks = heat.class_index, explained.masks
        text = f"{self.method}  {heat.name}"
        if index is None:
            mask = _union(masks)
        else:
            mask = None if masks is None else masks[index]
            probability, threshold = explained.probabilities[index], self.thresholds[index]
            text += f"   p = {probability:.3f} (threshold {threshold:.3f})"
        low, high = heat.scale or (heat.values.min(), heat.values.max())
        text += f"   colours from {low:.3g} to {high:.3g}"
        picture = overlay(grey, enlarge(heat.values, grey.shape), mask, (low, high))
        return captioned(picture, text)

    def _is_telling(self, explained: Explained, heat: HeatMap) -> bool:
        """Whether the map is of a class that is there, is found, or is the likeliest."""
        index = heat.class_index
        if index is None or index in explained.present:
            return True
        found = explained.probabilities[index] >= self.thresholds[index]
        return bool(found) or index == int(explained.probabilities.argmax())


def _union(masks: np.ndarray | None) -> np.ndarray | None:
    return None if masks is None else masks.max(axis=0)


def _within(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture, made smaller where one of its sides is longer."""
    shrunk = min(1.0, side / max(picture.shape))
    if shrunk == 1.0:
        return picture
    return cv2.resize(picture, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)


def _write_picture(path: Path, picture: np.ndarray) -> None:
    params = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, content = cv2.imencode(path.suffix, picture, params)
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())
