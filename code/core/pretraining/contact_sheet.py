"""A picture of pairs of views, to see what the method is asked to take for the same."""

from pathlib import Path

import cv2
import numpy as np

from core.explaining.pictures import captioned, contact_sheet
from core.files.writing import replacing
from core.pretraining.strips import ViewDataset

FILE = "view_pairs.jpg"
NUM_PAIRS = 12
_WIDEST = 790
_JPEG_QUALITY = 85


def write_view_pairs(folder: Path, dataset: ViewDataset) -> None:
    """Write view_pairs.jpg: for some strips, spread over all, the strip and its two views."""
    rows = dataset.rows[np.linspace(0, len(dataset) - 1, min(NUM_PAIRS, len(dataset)), dtype=int)]
    blocks = []
    for row in rows:
        strip, name = (
            dataset.strips.images.read(int(row)),
            Path(str(dataset.strips.names[row])).name,
        )
        pictures = [_picture(strip), *map(_picture, dataset.pair(row))]
        blocks.append([captioned(pictures[0], f"{name}   its two views:"), *pictures[1:]])
    params = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", contact_sheet(blocks), params)
    with replacing(folder / FILE) as temporary:
        temporary.write_bytes(content.tobytes())


def _picture(image: np.ndarray) -> np.ndarray:
    """Blue, green and red, no wider than half of a sheet."""
    code = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
    picture = cv2.cvtColor(np.ascontiguousarray(image), code)
    scale = min(1.0, _WIDEST / picture.shape[1])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
