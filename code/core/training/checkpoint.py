"""The checkpoints of a training, and which of them to continue from."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files.checkpoint import UnreadableCheckpointError, load_checkpoint, save_checkpoint
from core.files.writing import copy_file
from core.machine.distributed import is_first, wait_for_all
from core.training.background import Background, copied
from core.training.learner import Learner

# What a training continues from, in addition to its learner.
PLACE = ("history", "best_epoch", "training_seconds", "epoch_progress")


def restore(learner: Learner, state: dict[str, Any], file: Path) -> None:
    """Restore the learner to the state in `file`. Raises InputError for that of another one."""
    try:
        learner.load_state_dict(state)
        if missing := [key for key in PLACE if key not in state]:
            raise KeyError(f"no {missing[0]}")
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{file}: is not of the {learner} of this config ({reason}): give back the checkpoint "
            "that belongs here, or train again"
        ) from None


@dataclass(frozen=True)
class FoundCheckpoint:
    """The state to continue from and its file, if any; and the problems of newer files."""

    state: dict[str, Any] | None
    file: Path | None
    problems: list[str]


class Checkpoints:
    """`last.pt`, from which a training continues, and `best.pt`, its best epoch."""

    def __init__(self, folder: Path, minutes: float | None = None) -> None:
        """`minutes` between checkpoints within an epoch; None: only at its end."""
        self.folder, self.minutes = folder, minutes
        self._saved_at = time.monotonic()
        self._writing, self._copy = Background(), None

    def file(self, which: str) -> Path:
        """The file of the `last` or the `best` checkpoint."""
        return self.folder / f"{which}.pt"

    def save(
        self, state: dict[str, Any], is_best: bool, publish: Callable[[], None] | None = None
    ) -> None:
        """Copy the state; a thread writes last.pt, best.pt for the best epoch, and publishes.

        In this order best.pt is never newer than last.pt, and what is published has its checkpoint.
        If the process is killed in between, `mend` writes best.pt later. The error of a writing is
        raised by the next call of any method here. All processes call this; only the first one
        writes.
        """
        if is_first():
            # The thread reads the copy before.
            self.wait()
            self._copy = copied(state, self._copy)
            self._writing.start(lambda: self._write(is_best, publish))
        elif publish:
            publish()
        self._saved_at = time.monotonic()

    def _write(self, is_best: bool, publish: Callable[[], None] | None) -> None:
        save_checkpoint(self.file("last"), self._copy)
        if is_best:
            copy_file(self.file("last"), self.file("best"))
        if publish:
            publish()

    def wait(self) -> None:
        """Return when all that was saved and published is on the disk."""
        self._writing.wait()

    def finish(self) -> None:
        """Return when the first process has written everything. All processes call this."""
        self.wait()
        wait_for_all()

    def are_due(self) -> bool:
        """Whether it is time to save within an epoch."""
        self._writing.check()
        return bool(self.minutes) and time.monotonic() - self._saved_at >= 60 * self.minutes

    def weights(self, which: str) -> dict[str, Any]:
        """`model`, `objective` and `history` of the `last` or the `best` checkpoint."""
        self.wait()
        state = load_checkpoint(self.file(which))
        return {key: state[key] for key in ("model", "objective", "history")}

    def newest(self) -> FoundCheckpoint:
        """The state of last.pt; of best.pt if last.pt is damaged or missing; or of neither."""
        problems = []
        last, best = self.file("last"), self.file("best")
        if best.exists() and not last.exists():
            problems.append(f"{last}: is missing")
        for file in filter(Path.exists, (last, best)):
            try:
                state = load_checkpoint(file)
            except UnreadableCheckpointError as error:
                problems.append(error.problem)
                continue
            if problems:
                problems.append(f"going on from {file}")
            return FoundCheckpoint(state, file, problems)
        if problems:
            problems.append("no whole checkpoint is left: training again from epoch 1")
        return FoundCheckpoint(None, None, problems)

    def mend(self, found: FoundCheckpoint) -> None:
        """Make last.pt and best.pt match the state to continue from.

        Raises InputError where the best epoch was an earlier one, and its checkpoint is lost.
        """
        state = found.state
        if problem := self._problem_of_best(state):
            if state["best_epoch"] != len(state["history"]) or state["epoch_progress"]:
                raise InputError(
                    f"{problem}; it was the best epoch so far, and could not be tested: give back "
                    "its checkpoint, or train anew"
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
        except UnreadableCheckpointError as error:
            return error.problem
        if len(best.get("history", ())) == best_epoch:
            return None
        return f"{self.file('best')}: is not of epoch {best_epoch}"
