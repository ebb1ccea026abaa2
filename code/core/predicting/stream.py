"""Predictions of any number of images, in constant memory: reading ahead while the model works."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from core.errors import InputError
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
    contents = _read_ahead(images, read, batch_size * BATCHES_AHEAD)
    while group := list(islice(contents, batch_size)):
        readable = [content for _, content in group if not isinstance(content, InputError)]
        answers = iter(predictor(np.stack(readable)) if readable else ())
        for image, content in group:
            if isinstance(content, InputError):
                yield Row(image, None, str(content))
            else:
                yield Row(image, next(answers), pixels=content)


def _read_ahead(
    images: Iterable[str], read: Read, ahead: int
) -> Iterator[tuple[str, np.ndarray | InputError]]:
    waiting: deque[tuple[str, Future]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        try:
            for image in images:
                waiting.append((image, pool.submit(_read_one, image, read)))
                if len(waiting) > ahead:
                    image, content = waiting.popleft()
                    yield image, content.result()
            while waiting:
                image, content = waiting.popleft()
                yield image, content.result()
        finally:
            for _, content in waiting:
                content.cancel()


def _read_one(image: str, read: Read) -> np.ndarray | InputError:
    """Channels first, or why not."""
    if "\0" in image:
        return InputError(f"{image!r}: no path can hold a null byte")
    try:
        pixels = read(Path(image))
    except InputError as error:
        return error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
