"""Checkpoints, written whole and loaded without running code from them."""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.files import replacing


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain values only, whole or not at all."""
    # A stream of ours rather than a name: torch's own writer hides what the disk complains of.
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:
            # After a write that failed torch still ends its archive, and complains of that.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint with `weights_only`, so that a foreign file cannot run code.

    Raises:
        InputError: there is no such file, or it is not a whole checkpoint.
    """
    try:
        # torch does not compare the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"wrong checksum of {damaged}")
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except (
        OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, zipfile.BadZipFile
    ) as error:  # fmt: skip
        reason = str(error).partition("\n")[0][:120]
        raise InputError(
            f"{path}: not a whole checkpoint of this project ({reason}): "
            "train again or give another file"
        ) from None


@dataclass(frozen=True)
class Found:
    """The state to go on from and its file, if any, and what is wrong with newer files."""

    state: dict[str, Any] | None
    file: Path | None
    problems: list[str]


class Checkpoints:
    """`last.pt`, from which a training goes on, and `best.pt`, its best epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, which: str) -> Path:
        """The file of the `last` or the `best` one."""
        return self.folder / f"{which}.pt"

    def save(self, state: dict[str, Any], is_best: bool) -> None:
        """Write last.pt, and then best.pt where the state is that of the best epoch.

        In this order best.pt is never ahead of last.pt; where it fell behind, as a process that
        is killed in between leaves it, `mend` makes up for it.
        """
        save_checkpoint(self.file("last"), state)
        if is_best:
            save_checkpoint(self.file("best"), state)

    def newest(self, device: torch.device | str = "cpu") -> Found:
        """last.pt, or best.pt where last.pt is not whole, or neither."""
        problems = []
        for which in ("last", "best"):
            file = self.file(which)
            if not file.exists():
                continue
            try:
                state = load_checkpoint(file, device)
            except InputError as error:
                problems.append(str(error).partition(": train again")[0])
                continue
            if problems:
                problems.append(f"going on from {file}")
            return Found(state, file, problems)
        if problems:
            problems.append("no whole checkpoint is left: training again from epoch 1")
        return Found(None, None, problems)

    def mend(self, found: Found) -> None:
        """Make last.pt and best.pt what the state to go on from says that they are.

        Raises:
            InputError: the best epoch was an earlier one, and its checkpoint is lost.
        """
        state = found.state
        if problem := self._problem_of_best(state):
            if state["best_epoch"] != len(state["history"]) or state["epoch_progress"]:
                raise InputError(
                    f"{problem}; it was the best epoch so far, and could not be tested: delete "
                    f"{self.folder} to train again from epoch 1"
                )
            save_checkpoint(self.file("best"), state)
        if found.file != self.file("last"):
            save_checkpoint(self.file("last"), state)

    def _problem_of_best(self, state: dict[str, Any]) -> str | None:
        best_epoch = state["best_epoch"]
        if not best_epoch:
            return None
        try:
            best = load_checkpoint(self.file("best"))
        except InputError as error:
            return str(error).partition(": train again")[0]
        if len(best.get("history", ())) == best_epoch:
            return None
        return f"{self.file('best')}: is not of epoch {best_epoch}"
