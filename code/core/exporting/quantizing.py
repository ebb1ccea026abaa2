"""From a finished experiment to its model in 8-bit integers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from core.exporting.formats import EndToEndModel, write_onnx
from core.exporting.int8 import write_int8
from core.exporting.own_strips import OwnStrips
from core.predicting.trained_model import TrainedModel

# Ranges of values settle after a few dozen strips; evenly spaced over the training part.
NUM_STRIPS = 64


def write_quantized(trained: TrainedModel, own: OwnStrips, file: Path) -> None:
    """Write an ONNX file in 8-bit integers, its ranges those of strips of the training part.

    Raises:
        InputError: a strip that cannot be read.
    """
    signature = trained.signature
    signature = signature.model_copy(update={"model": f"{signature.model}-int8"})
    float32 = file.with_name(f"{file.name}.float32")
    chosen = np.linspace(0, len(own.train) - 1, min(NUM_STRIPS, len(own.train))).round()
    paths = [own.train[int(index)] for index in chosen]

    def strips() -> Iterator[np.ndarray]:
        return (own.read(path)[None] for path in paths)

    example = torch.from_numpy(np.stack([own.read(path) for path in paths[:2]]))
    write_onnx(EndToEndModel(trained).eval(), example, float32, signature.to_json())
    write_int8(float32, strips(), file, signature.to_json())
    float32.unlink()
