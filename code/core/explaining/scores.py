"""Whether a map lies on the defect, and whether the model needs what lies under it."""

import cv2
import numpy as np

from core.predicting.predictor import Predict

# Pixels of a 256-row strip by which the peak may miss the mask, as in the pointing game.
TOLERANCE = 15 / 256
# Blur that takes a defect away, over the height: as wide as RISE's for its images.
BLUR = 1 / 5


def enlarge(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map at the size (height, width) of the image, bilinearly. Shape: (h, w) -> size."""
    return cv2.resize(values.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def points_at(heat: np.ndarray, mask: np.ndarray) -> float:
    """1.0 where the map's peak lies in the mask or at most 15 pixels (of 256 rows) beside it.

    Shape: both (height, width). A map without any peak points nowhere.
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
    """Probability of the class while the hottest pixels are blurred away, and while they come back.

    Point i of `steps` + 1 has the hottest i / steps of the pixels blurred (deletion), or all
    others (insertion). A map that shows what the model needs falls early and rises early.

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
    """Mean height of a curve over points at equal distances, by trapezia."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def centre_map(size: tuple[int, int]) -> np.ndarray:
    """A bell around the middle of the image, a quarter of each side wide. Shape: size."""
    height, width = size
    rows = np.exp(-0.5 * ((np.arange(height) + 0.5) / height - 0.5) ** 2 / 0.25**2)
    columns = np.exp(-0.5 * ((np.arange(width) + 0.5) / width - 0.5) ** 2 / 0.25**2)
    return np.outer(rows, columns).astype(np.float32)
