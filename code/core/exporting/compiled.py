"""A model as torch.compile makes it, for the table of latencies."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from core.exporting.latency import LeftOutError
from core.predicting.predictor import Predict

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


class ModelInside(Protocol):
    """What asks a PyTorch model about images uint8 (batch, channels, height, width)."""

    model: nn.Module

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


def compiled(predictor: ModelInside, cache: Path) -> Predict:
    """The same predictor, its model compiled at the first call with each batch size.

    What the compiler keeps goes to the folder `cache`: with an empty one, it is known how long
    compiling takes. Where it is not possible, as without a C++ compiler, the call raises
    LeftOutError.
    """
    other = copy.copy(predictor)
    other.model = torch.compile(predictor.model, dynamic=False)

    def ask(images: np.ndarray) -> np.ndarray:
        try:
            with _caching_in(cache):
                return other(images)
        except RuntimeError as error:  # the nearest base class of the compiler's errors
            raise LeftOutError(str(error).partition("\n")[0]) from error

    return ask


@contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(CACHE_VARIABLE)
        if before is not None:
            os.environ[CACHE_VARIABLE] = before
