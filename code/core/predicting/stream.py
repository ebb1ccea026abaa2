"""Predictions for any number of images, in constant memory: reading ahead while the model works."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.data.checks import DataError
from core.data.images import ImageFormat, read_image
from core.errors import InputError
from core.files.threads import map_in_threads
from core.predicting.predictor import Predict

# Decoding releases the interpreter's lock, so threads are enough; two keep up with a GPU's share.
READERS = 2
BATCHES_AHEAD = 2

Read = Callable[[Path], np.ndarray]


@dataclass(frozen=True)
class Row:
    """The prediction for one image; `error` says why there is none.

    `added` are the cells of further columns, none where the image could not be read.
    Shape: probabilities (classes,) and pixels uint8 (channels, height, width), None with an error.
    """

    image: str
    probabilities: np.ndarray | None
    error: str = ""
    pixels: np.ndarray | None = None
    added: tuple[Any, ...] = ()


class TakesImages(Protocol):
    """The signature of a model, or any model that says how its images are read."""

    @property
    def image_format(self) -> ImageFormat: ...


def read_strip(path: Path, signature: TakesImages) -> np.ndarray:
    """An image as the model takes it. Shape: uint8 (channels, height, width).

    Raises:
        InputError: unreadable, or of another bit depth or, where nothing is resized, size.
    """
    try:
        pixels = read_image(path, *signature.image_format)
    except DataError as error:
        # What training advises, to set data.image_size, is no remedy here.
        problem, advice, _ = str(error).partition(": replace the file")
        if not advice:
            raise
        raise InputError(
            f"{problem}, the only size that this model takes: give it strips of that size, or "
            "train one with data.image_size of these"
        ) from None
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def predict_images(
    predict: Predict, images: Iterable[str], read: Read, batch_size: int
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
        probabilities = iter(predict(np.stack(readable)) if readable else ())
        for image, content in group:
            if isinstance(content, InputError):
                yield Row(image, None, str(content))
            else:
                yield Row(image, next(probabilities), pixels=content)


def _read_one(image: str, read: Read) -> tuple[str, np.ndarray | InputError]:
    """The image with its pixels, or with the reason why there are none."""
    if "\0" in image:
        return image, InputError(f"{image!r}: no path can hold a null byte")
    try:
        return image, read(Path(image))
    except InputError as error:
        return image, error
