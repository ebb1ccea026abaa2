"""Tensors and plain values in a file: written whole, and loaded without running code from it."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.files.writing import replacing


class UnreadableCheckpointError(InputError):
    """A missing or damaged checkpoint; `problem` is the message without the remedy."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem = problem


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain values only, whole or not at all."""
    # An open stream, not a path: torch's own writer hides the error of the disk.
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:
            # After a failed write torch still closes its archive, and raises an error about that.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint with `weights_only`, so that an untrusted file cannot run code.

    Raises:
        UnreadableCheckpointError: there is no such file, or it is not a whole checkpoint.
    """
    try:
        # torch does not verify the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"wrong checksum of {damaged}")
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UnreadableCheckpointError(f"{path}: no such checkpoint") from None
    except (
        OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, zipfile.BadZipFile
    ) as error:  # fmt: skip
        reason = str(error).partition("\n")[0][:120]
        raise UnreadableCheckpointError(
            f"{path}: not a whole checkpoint of this project ({reason})",
            "train again or give another file",
        ) from None
