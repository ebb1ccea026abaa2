"""From a map of distances to one score, and to the place of the hottest region."""

import math

import cv2
import numpy as np
from torch import Tensor, nn

from core.novelty.detectors.base import Detector
from core.novelty.smoothing import smoothed

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the image."""


class ScoredDetector(nn.Module):
    """A detector with its score: the mean of the largest smoothed distances.

    Shape: uint8 (batch, channels, height, width) -> scores (batch,), smoothed maps (batch, rows,
    columns), float32 both
    """

    def __init__(self, detector: Detector, smoothing: float, largest: int) -> None:
        """`smoothing` is the standard deviation of a Gaussian, in pixels of the image; `largest`
        is how many distances the score averages.
        """
        super().__init__()
        self.detector, self.smoothing, self.largest = detector, smoothing, largest

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.detector(images)
        cell = int(images.shape[-2]) / int(maps.shape[-2])
        maps = smoothed(maps, self.smoothing / cell)
        return scores(maps, self.largest), maps


def scores(maps: Tensor, largest: int) -> Tensor:
    """The mean of each map's largest values, or of all where it has fewer. Shape: (batch,)"""
    flat = maps.flatten(1)
    return flat.topk(min(largest, flat.shape[1]), dim=1).values.mean(dim=1)


def hottest_box(smoothed_map: np.ndarray, size: tuple[int, int], stride: int | None = None) -> Box:
    """The box around the hottest region of an image of this (height, width).

    The region is what is connected to the largest value and lies above the middle between it and
    the map's median. `stride` is the detector's: the last places of a map may be cut off.
    Shape: (rows, columns)
    """
    peak = np.unravel_index(int(smoothed_map.argmax()), smoothed_map.shape)
    level = (float(np.median(smoothed_map)) + float(smoothed_map[peak])) / 2
    hot = (smoothed_map >= level).astype(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    x, y, width, height = boxes[labels[peak]][:4].tolist()
    down, across = (stride or old / new for old, new in zip(size, smoothed_map.shape, strict=True))
    left, top = int(x * across), int(y * down)
    right = min(size[1], math.ceil((x + width) * across))
    return left, top, right - left, min(size[0], math.ceil((y + height) * down)) - top
