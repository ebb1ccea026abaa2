"""Strips on which an exported model is measured: the experiment's own, or procedural ones."""

from pathlib import Path

import numpy as np

from core.data.images import read_image
from core.errors import InputError
from core.experiments.predictions import read_predictions
from core.experiments.reading import Experiment
from core.experiments.strips import ImageFolder
from core.synthetic.generator import StripSettings
from core.synthetic.strip import draw_strip

SEED = 8


def example_strips(
    experiment: Experiment, count: int, data_root: Path | None
) -> tuple[np.ndarray, str]:
    """`count` strips as the model takes them, and in words where they come from.

    Those of the test part, then of the validation part, from `data_root`, by default where the
    experiment read them. Where they are gone or too few, procedural ones are drawn.

    Shape: uint8 (count, channels, height, width).
    Raises:
        InputError: a `data_root` without the experiment's images.
    """
    data = experiment.results["config"]["data"]
    size, channels = tuple(data["image_size"]), data["channels"]
    root = data_root or experiment.look_up("data", "root")
    folder = ImageFolder(Path(root) if root else None)
    ids = [
        image_id
        for split in ("test", "validation")
        for image_id in read_predictions(experiment, split).image_ids
    ]
    paths = [path for path in map(folder.find, ids) if path is not None][:count]
    if data_root and not paths:
        raise InputError(
            f"--data-root {data_root}: none of the experiment's images is there, such as {ids[0]}"
        )
    strips = [read_image(path, size, channels) for path in paths]
    words = [f"{len(strips)} of the data set"] if strips else []
    if missing := count - len(strips):
        strips += _drawn(missing, size, channels)
        words.append(f"{missing} procedural")
    stacked = np.stack(strips)
    stacked = stacked[:, None] if channels == 1 else stacked.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked), ", ".join(words)


def _drawn(count: int, size: tuple[int, int], channels: int) -> list[np.ndarray]:
    StripSettings(count, size)  # refuses a size that no strip can be drawn in
    generator = np.random.default_rng(SEED)
    strips = []
    for number in range(count):
        labels = np.arange(4) == number % 5
        strip, _ = draw_strip(generator, size, labels)
        strips.append(strip if channels == 1 else np.repeat(strip[..., None], channels, axis=2))
    return strips
