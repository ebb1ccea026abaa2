"""Predictions drawn from a known population, so that the truth behind a sample is known."""

from dataclasses import dataclass

import numpy as np

CLASS_NAMES = ["defect_1", "defect_2", "defect_3"]
# Label sets and their share of the images, with overlaps, a large class and a rare one.
LABEL_SETS = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]])
SHARES = np.array([0.46, 0.30, 0.10, 0.08, 0.04, 0.02])


@dataclass(frozen=True)
class Population:
    """Logits are normal, shifted by `separation` where the class is present."""

    separation: float = 2.5

    def draw(self, images: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Labels in fixed shares, as a stratified split makes them, and random probabilities."""
        labels = np.repeat(LABEL_SETS, np.round(SHARES * images).astype(int), axis=0)
        logits = generator.normal(size=labels.shape) + self.separation * (labels - 0.6)
        return labels.astype(np.uint8), 1 / (1 + np.exp(-logits))


def random_predictions(
    seed: int, images: int = 200, shares: tuple[float, ...] = (0.1, 0.03, 0.4, 0.08)
) -> tuple[np.ndarray, np.ndarray]:
    """Four classes, probabilities rounded so that scores are tied within and across the labels."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((images, len(shares))) < shares).astype(np.uint8)
    noisy = labels * 0.5 + generator.normal(0.3, 0.25, labels.shape)
    return labels, np.round(np.clip(noisy, 0, 1), 2)
