"""Poisson blending: gradients of one image within another, without a seam."""

import numpy as np
from scipy.fft import dstn, idstn


def blended_change(steel: np.ndarray, piece: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """How the steel changes if its gradients are those of the piece where the opacity is 1.

    The change u solves Poisson's equation, laplace(u) = div(opacity grad(piece - steel)), and is
    0 just outside the window. It is therefore seamless, also where the opacity ends; its mean
    within is whatever the gradients on the way give. Sines diagonalise the discrete Laplacian, so
    that one transform, one division and one transform back solve the equation exactly.

    Shape: steel and piece (H, W, C), opacity (H, W) -> (H, W, C)
    Source: Pérez, Gangnet, Blake 2003, "Poisson Image Editing"; Schlüter et al. 2022, "Natural
    Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization"
    """
    difference = piece - steel
    divergence = np.zeros_like(difference)
    for axis in (0, 1):
        ahead = [slice(None), slice(None)]
        behind = [slice(None), slice(None)]
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        ahead, behind = tuple(ahead), tuple(behind)
        weight = (opacity[ahead] + opacity[behind])[..., None] / 2
        flow = weight * (difference[ahead] - difference[behind])
        divergence[behind] += flow
        divergence[ahead] -= flow
    eigenvalues = sum(np.ix_(*(_eigenvalues(length) for length in opacity.shape)))
    spectrum = dstn(divergence, type=1, axes=(0, 1))
    spectrum /= eigenvalues.astype(np.float32)[..., None]
    return idstn(spectrum, type=1, axes=(0, 1))


def _eigenvalues(length: int) -> np.ndarray:
    """Of the second difference over `length` points between two zeros, all negative."""
    frequency = np.arange(1, length + 1) * (np.pi / (length + 1))
    return 2 * np.cos(frequency) - 2
