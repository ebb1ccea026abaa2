"""Where a training is computed."""

import torch

from core.errors import InputError
from core.training.settings import RuntimeSettings


def choose_device(runtime: RuntimeSettings) -> torch.device:
    """The device asked for, and torch's number of threads."""
    if runtime.num_threads:
        torch.set_num_threads(runtime.num_threads)
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "runtime.device='cuda': torch finds no CUDA device here: use runtime.device=cpu or auto"
        )
    wanted = runtime.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
