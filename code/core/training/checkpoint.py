"""Checkpoints, written whole and loaded without running code from them."""

import pickle
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.files import replacing


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain values only, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint with `weights_only`, so that a foreign file cannot run code.

    Raises:
        InputError: there is no such file, or it is not a whole checkpoint.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise InputError(
            f"{path}: not a whole checkpoint of this project ({reason}): "
            "train again or give another file"
        ) from None
