"""Copies of strips, as near-duplicates come about, and descriptors of images in memory."""

from collections.abc import Iterable

import cv2
import numpy as np

from core.data.images import ImageFormat
from core.data.strip_hash import StripDescriptors, strip_relief, thumbnail_size


def encoded(image: np.ndarray, quality: int = 75) -> np.ndarray:
    """The image after JPEG."""
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)


def relit(image: np.ndarray, factor: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """The image brighter or darker, clipped at black and white."""
    return np.clip(image * factor + offset, 0, 255).round().astype(np.uint8)


def shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    """The image moved by whole pixels."""
    turn = np.array([[1, 0, right], [0, 1, down]], np.float32)
    size = image.shape[::-1]
    return cv2.warpAffine(image, turn, size, borderMode=cv2.BORDER_REFLECT)


COPIES = {
    "encoded at quality 90": lambda image: encoded(image, 90),
    "encoded at quality 20": lambda image: encoded(image, 20),
    "turned by 180 degrees": lambda image: encoded(image[::-1, ::-1]),
    "mirrored left to right": lambda image: encoded(image[:, ::-1]),
    "mirrored top to bottom": lambda image: encoded(image[::-1]),
    "brighter by 20": lambda image: encoded(relit(image, offset=20)),
    "darker by 20": lambda image: encoded(relit(image, offset=-20)),
    "brighter by 25 %": lambda image: encoded(relit(image, 1.25)),
    "darker by 40 %": lambda image: encoded(relit(image, 0.6)),
    "turned, brighter, encoded": lambda image: encoded(relit(image[::-1, ::-1], offset=30), 50),
    "shifted by 8 and 4 pixels": lambda image: encoded(shifted(image, 8, 4)),
}


def describe(images: Iterable[np.ndarray]) -> StripDescriptors:
    """Descriptors of images that are no files."""
    return StripDescriptors.of(relief_of(image) for image in images)


def relief_of(image: np.ndarray) -> tuple[np.ndarray, float]:
    """What describes an image, in a thumbnail of its own proportions."""
    return strip_relief(
        np.ascontiguousarray(image), thumbnail_size([], ImageFormat(image.shape[:2]))
    )


def joined(*several: StripDescriptors) -> StripDescriptors:
    """Descriptors one after another."""
    return StripDescriptors(
        *(np.concatenate([getattr(one, name) for one in several]) for name in vars(several[0]))
    )
