"""Predictions of any number of images, in constant memory: reading ahead while the model works."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.files.threads import map_in_threads
from core.predicting.predictor import Predictor

# Decoding releases the interpreter's lock, so threads are enough; two keep up with a GPU's share.
READERS = 2
BATCHES_AHEAD = 2

Read = Callable[[Path], np.ndarray]


@dataclass(frozen=True)
class Row:
    """What was found on one image; `error` says why nothing could be.

    Shape: probabilities (classes,) and pixels uint8 (channels, height, width), None with an error.
    """

    image: str
    probabilities: np.ndarray | None
    error: str = ""
    pixels: np.ndarray | None = None


def predict_images(
    predictor: Predictor, images: Iterable[str], read: Read, batch_size: int
) -> Iterator[Row]:
    """A row per image, in their order. An image that cannot be read costs its own row only."""
    contents = map_in_threads(
        partial(_read_one, read=read),
        images,
        num_threads=READERS,
        ahead=batch_size * BATCHES_AHEAD,
    )
    while group := list(islice(contents, batch_size)):
        readable = [content for _, content in group if not isinstance(content, InputError)]
        answers = iter(predictor(np.stack(readable)) if readable else ())
        for image, content in group:
            if isinstance(content, InputError):
                yield Row(image, None, str(content))
            else:
                yield Row(image, next(answers), pixels=content)


def _read_one(image: str, read: Read) -> tuple[str, np.ndarray | InputError]:
    """The image with its pixels, channels first, or with why there are none."""
    if "\0" in image:
        return image, InputError(f"{image!r}: no path can hold a null byte")
    try:
        pixels = read(Path(image))
    except InputError as error:
        return image, error
    return image, pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
