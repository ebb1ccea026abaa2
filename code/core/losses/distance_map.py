"""How far each pixel is from the border of a mask."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Scale = Literal["clip", "diagonal", "none"]


def signed_distance_map(
    mask: NDArray[np.generic], spacing: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Exact Euclidean distance to the border of one class's mask, negative inside.

    0 on the inner side of the border; a mask without pixels, or without background, has no
    border and gives zeros. `mask` has the spatial axes only, `spacing` the pixel size along each.

    Units: pixels, or those of `spacing`.
    Source: Kervadec et al., "Boundary loss for highly unbalanced segmentation", 2019.
    """
    inside = np.asarray(mask) > 0.5
    if not inside.any() or inside.all():
        return np.zeros(inside.shape)
    outward = distance_transform_edt(~inside, sampling=spacing)
    inward = distance_transform_edt(inside, sampling=spacing)
    return outward - np.where(inside, inward - 1, 0)


def scaled_distance_map(
    mask: NDArray[np.generic],
    scale: Scale = "clip",
    max_distance: float = 32.0,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """`signed_distance_map` within [-1, 1], so that its size does not depend on the image's.

    `clip` cuts distances off at `max_distance` and divides by it; `diagonal` divides by the
    image's diagonal; `none` leaves them as they are. A pure function of one mask, for the
    loader's workers, after every flip and crop.
    """
    distances = signed_distance_map(mask, spacing)
    if scale == "clip":
        distances = np.clip(distances / max_distance, -1, 1)
    if scale == "diagonal":
        steps = np.ones(distances.ndim) if spacing is None else np.asarray(spacing)
        distances = distances / np.linalg.norm(steps * distances.shape)
    return distances
