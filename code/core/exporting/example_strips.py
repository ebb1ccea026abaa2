"""Strips to compare models on: the experiment's own or, where they are missing, drawn ones."""

from pathlib import Path

import numpy as np

from core.experiments.strips import Strips
from core.predicting.stream import read_strip
from core.predicting.trained_model import TrainedModel
from core.synthetic.generator import StripSettings
from core.synthetic.strip import draw_strip

SEED = 8


def example_strips(
    trained: TrainedModel, count: int, data_root: Path | None
) -> tuple[np.ndarray, str]:
    """`count` strips as the model takes them, and in words where they come from.

    Those of the test part come first, then those of the validation part.

    Shape: uint8 (count, channels, height, width).
    Raises:
        InputError: a `data_root` without the experiment's images.
    """
    signature, strips = trained.signature, Strips(trained.experiment, data_root)
    ids = [*strips.ids("test"), *strips.ids("validation")]
    paths = [path for path in map(strips.find, ids) if path is not None][:count]
    if data_root and not paths:
        raise strips.missing(ids[0])
    images = [read_strip(path, signature) for path in paths]
    words = [f"{len(images)} of the data set"] if images else []
    if missing := count - len(images):
        images += _drawn(missing, signature.image_size, signature.channels)
        words.append(f"{missing} procedural")
    return np.stack(images), ", ".join(words)


def _drawn(count: int, size: tuple[int, int], channels: int) -> list[np.ndarray]:
    StripSettings(count, size)  # refuses a size that no strip can be drawn in
    generator = np.random.default_rng(SEED)
    labels = [np.arange(4) == number % 5 for number in range(count)]
    strips = [draw_strip(generator, size, row)[0] for row in labels]
    return [np.repeat(strip[None], channels, axis=0) for strip in strips]
