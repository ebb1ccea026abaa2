"""One whole strip: steel, harmless marks, defects, border, camera."""

import numpy as np

from core.synthetic.border import Border
from core.synthetic.canvas import Canvas
from core.synthetic.cracks import draw_cracks
from core.synthetic.marks import draw_marks
from core.synthetic.noise import Size
from core.synthetic.pits import draw_pits
from core.synthetic.scale import draw_scale
from core.synthetic.scratches import draw_scratches
from core.synthetic.steel import draw_steel

# Scale lies below what was scratched or pitted later.
_DRAWN_IN_ORDER = ((4, draw_scale), (3, draw_scratches), (1, draw_pits), (2, draw_cracks))

# Pixels of a strip with 256 rows; the smallest real mask has some hundreds.
_LEAST_AREA = 150


def draw_strip(
    rng: np.random.Generator, size: Size, labels: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """A strip with the defects of the 0/1 vector `labels`, and the mask of each by class id.

    Shape: image `size` uint8, masks `size` uint8 of 0 and 1, never empty.
    """
    border = Border(rng, size, labels)
    steel = np.broadcast_to(border.steel, size)
    canvas = Canvas(draw_steel(rng, size), steel, rng)
    draw_marks(canvas)
    border.draw_edge_zone(canvas)
    masks: dict[int, np.ndarray] = {}
    for class_id, draw in _DRAWN_IN_ORDER:
        if labels[class_id - 1]:
            mask = np.zeros(size, np.uint8)
            # A defect that fell mostly on the background is hardly seen: draw another.
            while mask.sum() < _LEAST_AREA * canvas.scale**2:
                mask |= draw(canvas) * steel.astype(np.uint8)
            masks[class_id] = mask
    border.draw(canvas)
    return np.clip(canvas.image, 0, 255).astype(np.uint8), masks
