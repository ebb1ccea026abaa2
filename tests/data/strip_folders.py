"""Small data sets on disk, for the tests of this room."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

SIZE = (32, 64)
"""Height and width of the strips that these tests write."""


def write_strips(folder: Path, image_ids: Iterable[str], size: tuple[int, int] = SIZE) -> None:
    """Write a JPEG per id, each of another texture."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image_id in enumerate(image_ids):
        noise = np.random.default_rng(number).integers(0, 256, size, np.uint8)
        image = cv2.GaussianBlur(noise, (0, 0), 2)
        (folder / image_id).write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def strip_ids(count: int) -> list[str]:
    """Image ids in the order of the table."""
    return [f"strip_{number:03d}.jpg" for number in range(count)]


def write_csv(path: Path, lines: Sequence[str]) -> Path:
    """Write lines, the header among them."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def kaggle_folder(root: Path, rows: Sequence[str], num_images: int = 4) -> Path:
    """A data set in the layout of the competition; `rows` without the header."""
    write_strips(root / "train_images", strip_ids(num_images))
    write_csv(root / "train.csv", ["ImageId,ClassId,EncodedPixels", *rows])
    return root
