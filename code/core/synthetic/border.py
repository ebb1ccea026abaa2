"""Where the steel ends: the black background beside the strip, its rim, its ragged edge."""

import numpy as np

from core.synthetic.canvas import Canvas
from core.synthetic.noise import Size, bands, blurred

# Share of strips with an edge in view, by the defects on them, counted on 100 real strips:
# cracks and pits live near the edges.
_CLEAN_SHARE = 0.15
_SHARES = (0.55, 0.95, 0.45, 0.2)
# Black part of the image's width where there is one: lowest, highest, how often.
_WIDTHS = ((0.01, 0.1, 0.3), (0.15, 0.29, 0.42), (0.36, 0.41, 0.14), (0.44, 0.86, 0.14))


class Border:
    """The black background of one strip: at the left or the right, seldom above or below."""

    def __init__(self, rng: np.random.Generator, size: Size, labels: np.ndarray) -> None:
        self.rng, self.size = rng, size
        self.side = _choose_side(rng, labels)
        self.distance = self._distance()
        self.steel = self.distance > 0

    def _distance(self) -> np.ndarray:
        """Pixels from the edge into the steel, negative beside it, (height, width)."""
        height, width = self.size
        rng, scale = self.rng, height / 256
        if self.side == "none":
            return np.full(self.size, 1e6, np.float32)
        across = self.side in ("top", "bottom")
        along, deep = (width, height) if across else (height, width)
        if across:
            edge = rng.uniform(0.05, 0.4) * height
            slope = rng.normal(0, 0.008)
        else:
            chosen = _WIDTHS[rng.choice(len(_WIDTHS), p=[share for *_, share in _WIDTHS])]
            edge = rng.uniform(*chosen[:2]) * width
            slope = rng.normal(0, 0.012)
        position = np.arange(along, dtype=np.float32)
        line = edge + slope * (position - along / 2)
        line += rng.uniform(0.1, 0.6) * scale * bands(rng, along, 15 * scale)
        line += rng.uniform(0.1, 0.4) * scale * bands(rng, along, 1.5 * scale)
        depth = np.arange(deep, dtype=np.float32)
        depth = depth if self.side in ("top", "left") else deep - 1 - depth
        return depth[:, None] - line if across else depth - line[:, None]

    def draw_edge_zone(self, canvas: Canvas) -> None:
        """Brighter, glittering steel in a zone along the edge."""
        if self.side not in ("left", "right") or self.rng.random() < 0.25:
            return
        rng, scale = self.rng, canvas.scale
        width = rng.uniform(40, 220) * scale
        columns = (self.distance < 2 * width).any(axis=0) & canvas.steel.any(axis=0)
        depth = self.distance[:, columns]
        zone = np.exp(-((depth / width) ** 2))
        white = rng.standard_normal(depth.shape, dtype=np.float32)
        glints = blurred(white, 0.6 * scale, rng.uniform(0.7, 1.5) * scale)
        lanes = bands(rng, depth.shape[1], 12 * scale)
        glints += zone * rng.uniform(0.3, 1.6) + 0.35 * lanes - 3.0
        np.clip(glints, 0, 2, out=glints)
        canvas.image[:, columns] *= (
            1 + rng.uniform(-0.1, 0.45) * zone + rng.uniform(0.5, 1.0) * glints
        )

    def draw(self, canvas: Canvas) -> None:
        """Darken the rim, light the edge, and black out the background."""
        if self.side == "none":
            return
        rng, scale, near = self.rng, canvas.scale, self.distance < 60 * canvas.scale
        # Only the columns, or rows, that come near the edge change.
        upright = self.side in ("left", "right")
        where = (slice(None), near.any(axis=0)) if upright else (near.any(axis=1),)
        image, depth = canvas.image[where], self.distance[where]
        image *= self._rim(depth, scale)
        image[depth <= 0] = 0
        black = rng.uniform(0, 7) + 0.6 * rng.standard_normal(image.shape, dtype=np.float32)
        soft = np.clip(depth / max(1.2 * scale, 1.0), 0, 1)
        canvas.image[where] = soft * image + (1 - soft) * black

    def _rim(self, depth: np.ndarray, scale: float) -> np.ndarray:
        """Factor on the grey values near the edge."""
        rng = self.rng
        rim = np.ones_like(depth)
        if rng.random() < 0.7:
            width = rng.uniform(4, 22) * scale
            rim = np.where(depth < width, rng.uniform(0.25, 0.8), rim)
        if rng.random() < 0.6:
            at, width = rng.uniform(2, 25) * scale, max(rng.uniform(1, 6) * scale, 0.8)
            rim += rng.uniform(0.1, 0.6) * np.exp(-(((depth - at) / width) ** 2))
        fall = rng.uniform(-0.3, 0.3)
        return (rim * (1 + fall * np.exp(-depth / (25 * scale)))).astype(np.float32)


def _choose_side(rng: np.random.Generator, labels: np.ndarray) -> str:
    present = [share for share, label in zip(_SHARES, labels, strict=True) if label]
    if rng.random() < max(present, default=_CLEAN_SHARE):
        return str(rng.choice(["left", "right"], p=[0.5, 0.5]))
    if rng.random() < 0.012:
        return str(rng.choice(["top", "bottom"], p=[0.3, 0.7]))
    return "none"
