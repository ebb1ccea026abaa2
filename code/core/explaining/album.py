"""The pictures of explained images: one per image and map, and a contact sheet of all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.experiments.drawing import outlined, overlay
from core.explaining.methods import HeatMap
from core.explaining.pictures import captioned, contact_sheet
from core.explaining.scores import enlarge
from core.files.names import file_name, file_names
from core.files.writing import replacing

# Strips on the contact sheet; every image has its own pictures beside it.
SHEET_IMAGES = 24
# Of the sheet: as PNG, dozens of textured strips take ten times the space.
JPEG_QUALITY = 85
# The longest side that the format allows.
JPEG_SIDE = 65_500


@dataclass(frozen=True)
class Explanation:
    """One image: its pixels, its probabilities, and its heat maps.

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

    @property
    def any_mask(self) -> np.ndarray | None:
        """Where any class is. Shape: (height, width)."""
        return None if self.masks is None else self.masks.max(axis=0)


class Album:
    """Pictures of a method's maps in a folder."""

    def __init__(
        self, folder: Path, method: str, class_names: Sequence[str], thresholds: Sequence[float]
    ) -> None:
        self.folder, self.method = folder, method
        self.class_names, self.thresholds = tuple(class_names), tuple(thresholds)
        self.sheet: list[list[np.ndarray]] = []
        # Only of names that came again, so that any number of images takes the same memory.
        self.numbers: dict[str, int] = {}

    def add(self, explanation: Explanation) -> None:
        """Write a picture of each map: `<image>_<class>.png`, in names that are fit for files."""
        grey = explanation.pixels[0]
        if len(explanation.pixels) == 3:
            grey = cv2.cvtColor(explanation.pixels.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY)
        names = file_names([*self.class_names, *(heat.name for heat in explanation.maps)])
        stem = self._unused_stem(explanation.path.stem, names.values())
        block = [self._without_map(explanation, grey)]
        for heat in explanation.maps:
            picture = self._with_map(explanation, grey, heat)
            _write_picture(self.folder / f"{stem}_{names[heat.name]}.png", picture)
            if self._is_on_sheet(explanation, heat):
                block.append(picture)
        if len(self.sheet) < SHEET_IMAGES:
            self.sheet.append(block)

    def finish(self) -> None:
        """Write contact_sheet.jpg, if there was any image."""
        if self.sheet:
            sheet = contact_sheet(self.sheet)
            if (scale := JPEG_SIDE / max(sheet.shape)) < 1:
                sheet = cv2.resize(sheet, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            _write_picture(self.folder / "contact_sheet.jpg", sheet)

    def _unused_stem(self, image: str, names: Iterable[str]) -> str:
        """How the names of the image's pictures begin: its name, numbered if that is taken."""
        stem = file_name(image)
        number = self.numbers.get(stem, 1)
        while True:
            numbered = stem if number == 1 else f"{stem}_{number}"
            if not any((self.folder / f"{numbered}_{name}.png").exists() for name in names):
                return numbered
            number += 1
            self.numbers[stem] = number

    def _without_map(self, explanation: Explanation, grey: np.ndarray) -> np.ndarray:
        text = explanation.path.name
        if explanation.masks is not None:
            shown = ", ".join(self.class_names[c] for c in explanation.present)
            text += f"   masks: {shown or 'none'}"
        picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        return captioned(outlined(picture, explanation.any_mask), text)

    def _with_map(self, explanation: Explanation, grey: np.ndarray, heat: HeatMap) -> np.ndarray:
        index, mask = heat.class_index, explanation.any_mask
        text = f"{self.method}  {heat.name}"
        if index is not None:
            mask = None if mask is None else explanation.masks[index]
            probability, threshold = explanation.probabilities[index], self.thresholds[index]
            text += f"   p = {probability:.3f} (threshold {threshold:.3f})"
        low, high = heat.scale or (heat.values.min(), heat.values.max())
        text += f"   colours from {low:.3g} to {high:.3g}"
        picture = overlay(grey, enlarge(heat.values, grey.shape), mask, (low, high))
        return captioned(picture, text)

    def _is_on_sheet(self, explanation: Explanation, heat: HeatMap) -> bool:
        """Whether the map is of a class that is present, is found, or is the most probable."""
        index = heat.class_index
        if index is None or index in explanation.present:
            return True
        found = explanation.probabilities[index] >= self.thresholds[index]
        return bool(found) or index == int(explanation.probabilities.argmax())


def _write_picture(path: Path, picture: np.ndarray) -> None:
    params = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, content = cv2.imencode(path.suffix, picture, params)
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())
