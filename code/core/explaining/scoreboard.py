"""Scores of maps, collected image by image: means per class, beside those of the baselines."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.explaining.methods import HeatMap
from core.explaining.scores import (
    area_under,
    centre_map,
    deletion_insertion,
    energy_inside,
    enlarge,
    points_at,
)
from core.predicting.predictor import Predict

RANDOM, CENTRE = "random map", "centre map"
FIGURES = ("pointing_accuracy", "energy_inside", "deletion", "insertion")
# What a method scores by chance differs from image to image, not from run to run.
SEED = 5


class Scoreboard:
    """Figures of each map of a method, and of two maps that know nothing of the image.

    The random map has the resolution of the method's own, so that it is as smooth.
    """

    def __init__(self, predict: Predict, class_names: Sequence[str], curve_steps: int) -> None:
        """`curve_steps` 0 leaves out deletion and insertion, which predict many times."""
        self.predict = predict
        self.class_names = tuple(class_names)
        self.curve_steps = curve_steps
        self.num_images = 0
        self.rows: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def add(
        self, image: np.ndarray, masks: np.ndarray, maps: dict[str, dict[int, np.ndarray]]
    ) -> None:
        """Score the maps of one image, by their name and by class, against its masks.

        Shape: image uint8 (channels, height, width), masks (classes, height, width).
        """
        present = [c for c in range(len(self.class_names)) if masks[c].any()]
        size = masks.shape[1:]
        generator = np.random.default_rng((SEED, self.num_images))
        resolution = next(iter(next(iter(maps.values())).values())).shape
        chance = generator.random(resolution, dtype=np.float32)
        baselines = {RANDOM: enlarge(chance, size), CENTRE: centre_map(size)}
        self.num_images += bool(present)
        for c in present:
            candidates = {name: enlarge(by_class[c], size) for name, by_class in maps.items()}
            for name, heat in (candidates | baselines).items():
                self.rows[name][c].append(self._figures(image, heat, masks[c], c))

    def report(self) -> dict[str, Any]:
        """Means per class and over classes, of each map by its name."""
        return {
            "num_images": self.num_images,
            "curve_steps": self.curve_steps,
            "maps": {name: self._means(by_class) for name, by_class in self.rows.items()},
        }

    def _figures(
        self, image: np.ndarray, heat: np.ndarray, mask: np.ndarray, class_index: int
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "pointing_accuracy": points_at(heat, mask),
            "energy_inside": energy_inside(heat, mask),
        }
        if self.curve_steps:
            steps = self.curve_steps
            curves = deletion_insertion(self.predict, image, heat, class_index, steps)
            for name, curve in zip(("deletion", "insertion"), curves, strict=True):
                found |= {name: area_under(curve), f"{name}_curve": curve}
        return found

    def _means(self, by_class: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
        per_class = {}
        for c, name in enumerate(self.class_names):
            rows = by_class.get(c, [])
            figures = (
                {key: np.mean([row[key] for row in rows], axis=0) for key in rows[0]}
                if rows
                else {}
            )
            per_class[name] = {"num_images": len(rows), **figures}
        macro = {}
        for figure in FIGURES:
            known = [row[figure] for row in per_class.values() if figure in row]
            macro[figure] = float(np.mean(known)) if known else None
        return {"macro": macro, "per_class": per_class}


def maps_by_class(
    method: str, maps: Sequence[HeatMap], class_names: Sequence[str]
) -> dict[str, dict[int, np.ndarray]]:
    """The maps as the scoreboard takes them; a map of no class stands for every class."""
    if all(heat.class_index is not None for heat in maps):
        return {method: {heat.class_index: heat.values for heat in maps}}
    return {
        f"{method} {heat.name}": dict.fromkeys(range(len(class_names)), heat.values)
        for heat in maps
    }
