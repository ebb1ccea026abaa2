"""The history of a training and its best epoch so far."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Criterion:
    """The validation figure by which epochs are ranked.

    Ties are broken by the lower validation loss: early in a training, many epochs have a figure of
    0. An undefined figure is worse than any other.
    """

    figure: str
    name: str
    larger_is_better: bool = True

    def rank(self, record: Mapping[str, Any]) -> tuple[float, float]:
        """A key that is larger for a better epoch."""
        validation = record["validation"]
        value = validation[self.figure]
        if value is None:
            return float("-inf"), -validation["loss"]
        return value if self.larger_is_better else -value, -validation["loss"]


@dataclass
class Progress:
    """The records of the finished epochs, the best of them, and the time they took."""

    criterion: Criterion | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    _earlier_seconds: float = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.history, self.best_epoch = list(state["history"]), state["best_epoch"]
        self._earlier_seconds, self._started = state["training_seconds"], time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """The entries of a checkpoint."""
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "training_seconds": self.seconds,
        }

    @property
    def seconds(self) -> float:
        """Training time, that of earlier processes included; independent of the wall clock."""
        return self._earlier_seconds + time.perf_counter() - self._started

    def time_left(self, num_epochs: int) -> str:
        """An estimate for the epochs up to `num_epochs`, by the mean time of those so far."""
        done = len(self.history)
        minutes, seconds = divmod(round(self.seconds / done * (num_epochs - done)), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours} h {minutes:02d} min"
        return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"

    @property
    def next_epoch(self) -> int:
        """The epoch to run next, counted from 1."""
        return len(self.history) + 1

    def add(self, record: dict[str, Any]) -> bool:
        """Append an epoch's record; True if it is the best one so far."""
        best = self.history[self.best_epoch - 1] if self.history else None
        rank = self.criterion.rank if self.criterion else None
        is_best = best is None or rank is None or rank(record) > rank(best)
        self.history.append(record)
        if is_best:
            self.best_epoch = record["epoch"]
        return is_best
