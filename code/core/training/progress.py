"""The history of a training and its best epoch so far."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_COLUMNS = 80


def brief(value: float) -> str:
    """Three digits of a number, or fewer where that takes more than six characters."""
    text = f"{value:.3g}"
    if len(text) <= 6 and "e" not in text:
        return text
    for digits in (1, 0):
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
        if len(text) <= 6:
            break
    return text


@dataclass(frozen=True)
class Criterion:
    """The validation figure by which epochs are ranked.

    Ties are broken by `second_figure`, if any, the larger the better, and then by the lower
    validation loss: early in a training, many epochs have a figure of 0. An undefined figure is
    worse than any other.
    """

    figure: str
    name: str
    larger_is_better: bool = True
    second_figure: str | None = None

    def rank(self, record: Mapping[str, Any]) -> tuple[float, ...]:
        """A key that is larger for a better epoch."""
        validation = record["validation"]
        value, sign = validation[self.figure], 1 if self.larger_is_better else -1
        figures = [None if value is None else sign * value]
        if self.second_figure:
            figures.append(validation[self.second_figure])
        return *(float("-inf") if each is None else each for each in figures), -validation["loss"]


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

    def record(self) -> dict[str, Any]:
        """Sections of results.json; the list in them does not grow."""
        return {"history": self.history.copy(), "best_epoch": self.best_epoch}

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
        seconds = round(self.seconds / done * (num_epochs - done))
        minutes, hours = round(seconds / 60), seconds / 3600
        if seconds < 60:
            return f"{seconds} s"
        if minutes < 60:
            return f"{minutes} min"
        return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"

    def line(self, num_epochs: int, told: str, is_best: bool) -> str:
        """The last epoch in one line of the log; `told` holds its validation figures."""
        record = self.history[-1]
        head = f"epoch {record['epoch']}/{num_epochs}  loss {brief(record['train']['loss'])}"
        best = " (best)" if is_best else ""
        line = f"{head}  {told}{best}  {self.time_left(num_epochs)} left"
        return line if len(line) <= _COLUMNS else line.replace("  ", " ")

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
