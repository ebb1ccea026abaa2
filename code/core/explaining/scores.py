"""Whether maps lie on the defects, and whether the model needs what lies under them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from core.explaining.methods import HeatMap
from core.predicting.predictor import Predict

# Pixels of a 256-row strip by which the peak may miss the mask, as in the pointing game.
TOLERANCE = 15 / 256
# Standard deviation, over the height, of a blur that removes a defect: as wide as RISE's.
BLUR = 1 / 5
RANDOM, CENTRE = "random map", "centre map"
FIGURES = ("pointing_accuracy", "energy_inside", "deletion", "insertion")
# The random maps differ between images, but not between runs.
SEED = 5


class Scoreboard:
    """Mean figures of a method's maps, and of two maps that do not depend on the image.

    The random map has the resolution of the method's own, so that it is as smooth.
    """

    def __init__(
        self, method: str, predict: Predict, class_names: Sequence[str], curve_steps: int
    ) -> None:
        """`curve_steps` 0 leaves out deletion and insertion, which predict many times."""
        self.method, self.predict, self.curve_steps = method, predict, curve_steps
        self.class_names = tuple(class_names)
        self.num_images = 0
        # By map, then by class.
        self.rows: dict[str, Any] = defaultdict(lambda: defaultdict(list))

    def add(self, image: np.ndarray, masks: np.ndarray, maps: Sequence[HeatMap]) -> None:
        """Score the maps of one image against its masks; one without a class, for every class.

        Shape: image uint8 (channels, height, width), masks (classes, height, width).
        """
        present = [c for c in range(len(self.class_names)) if masks[c].any()]
        size = masks.shape[1:]
        generator = np.random.default_rng((SEED, self.num_images))
        chance = generator.random(maps[0].values.shape, dtype=np.float32)
        baselines = {RANDOM: enlarge(chance, size), CENTRE: centre_map(size)}
        self.num_images += bool(present)
        for c in present:
            candidates = {}
            for heat in maps:
                if heat.class_index in (c, None):
                    name = self.method if heat.class_index == c else f"{self.method} {heat.name}"
                    candidates[name] = enlarge(heat.values, size)
            for name, values in (candidates | baselines).items():
                self.rows[name][c].append(self._figures(image, values, masks[c], c))

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
        if steps := self.curve_steps:
            curves = deletion_insertion(self.predict, image, heat, class_index, steps)
            for name, curve in zip(("deletion", "insertion"), curves, strict=True):
                found |= {name: area_under(curve), f"{name}_curve": curve}
        return found

    def _means(self, by_class: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
        per_class = {}
        for c, name in enumerate(self.class_names):
            rows = by_class.get(c, [])
            keys = rows[0] if rows else ()
            means = {key: np.mean([row[key] for row in rows], axis=0) for key in keys}
            per_class[name] = {"num_images": len(rows), **means}
        macro = {}
        for figure in FIGURES:
            known = [row[figure] for row in per_class.values() if figure in row]
            macro[figure] = float(np.mean(known)) if known else None
        return {"macro": macro, "per_class": per_class}


def as_text(report: Mapping[str, Any]) -> str:
    """The means over classes of a report's maps, as a table."""
    width = max(map(len, report["maps"]), default=0)
    titles = [figure.replace("_", " ") for figure in FIGURES]
    lines = ["  ".join([" " * width, *titles])]
    for name, means in report["maps"].items():
        values = [means["macro"][figure] for figure in FIGURES]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        cells = [cell.rjust(len(title)) for cell, title in zip(cells, titles, strict=True)]
        lines.append("  ".join([name.ljust(width), *cells]))
    return "\n".join(lines)


def enlarge(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map at the size (height, width) of the image, bilinearly. Shape: (h, w) -> size."""
    return cv2.resize(values.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def points_at(heat: np.ndarray, mask: np.ndarray) -> float:
    """1.0 where the map's peak lies in the mask or at most 15 pixels (of 256 rows) beside it.

    A constant map points nowhere. Shape: both (height, width).
    Source: Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop"
    """
    if heat.max() <= heat.min():
        return 0.0
    radius = max(1, round(TOLERANCE * mask.shape[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    near = cv2.dilate(mask.astype(np.uint8), disc)
    return float(near.flat[int(heat.argmax())] > 0)


def energy_inside(heat: np.ndarray, mask: np.ndarray) -> float:
    """Share of the map's sum that lies in the mask; 0 for a map of zeros.

    Shape: both (height, width).
    Source: Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional
    Neural Networks"
    """
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask > 0].sum(dtype=np.float64)) / total if total > 0 else 0.0


def deletion_insertion(
    predict: Predict, image: np.ndarray, heat: np.ndarray, class_index: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the class while the hottest pixels are blurred, and while they come back.

    At point i of `steps` + 1, the hottest i / steps of the pixels are blurred (deletion), or all
    others (insertion). With a map of what the model needs, the first curve falls early and the
    second rises early.

    Shape: image uint8 (channels, height, width), heat (height, width) -> both (steps + 1,)
    Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box
    Models"
    """
    sigma = BLUR * image.shape[1]
    blurred = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in image])
    rank = np.empty(heat.size, np.int64)
    rank[np.argsort(-heat, axis=None, kind="stable")] = np.arange(heat.size)
    rank = rank.reshape(heat.shape)
    hottest = [rank < round(step * heat.size / steps) for step in range(steps + 1)]
    deleted = np.stack([np.where(hot, blurred, image) for hot in hottest])
    inserted = np.stack([np.where(hot, image, blurred) for hot in hottest])
    probabilities = predict(np.concatenate([deleted, inserted]))[:, class_index]
    return probabilities[: steps + 1], probabilities[steps + 1 :]


def area_under(curve: np.ndarray) -> float:
    """Mean height of a curve over equally spaced points, by trapezia."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def centre_map(size: tuple[int, int]) -> np.ndarray:
    """A bell in the middle of the image, a quarter of each side wide. Shape: size."""
    rows, columns = (
        np.exp(-0.5 * ((np.arange(side) + 0.5) / side - 0.5) ** 2 / 0.25**2) for side in size
    )
    return np.outer(rows, columns).astype(np.float32)
