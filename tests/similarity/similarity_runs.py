"""Small strips whose label sets an encoder can see, and what to search by."""

from pathlib import Path

import cv2
import numpy as np

SIZE = (32, 64)


def write_strips(root: Path, count: int = 12) -> Path:
    """A labelled data set of three kinds: dark with one class, bright with another, clean."""
    folder = root / "images"
    folder.mkdir(parents=True)
    rows = ["ImageId,dark,bright"]
    for number in range(count):
        kind = number % 3
        noise = np.random.default_rng(number).integers(-20, 20, SIZE)
        image = np.clip((128, 30, 220)[kind] + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"strip_{number:02d}.png"), image)
        rows.append(f"strip_{number:02d}.png,{int(kind == 1)},{int(kind == 2)}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root
