"""The history of a training and its best epoch so far."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """The records of the finished epochs, and which of them is the best.

    Of two epochs with the same macro-F1 the one with the lower validation loss is better: early
    in a training, and for rare classes, many epochs share an F1 of 0.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def next_epoch(self) -> int:
        """The epoch that is to be run, counted from 1."""
        return len(self.history) + 1

    def add(self, record: dict[str, Any]) -> bool:
        """Append an epoch's record; True when it is the best one yet."""
        is_best = not self.history or _rank(record) > _rank(self.history[self.best_epoch - 1])
        self.history.append(record)
        if is_best:
            self.best_epoch = record["epoch"]
        return is_best

    def has_stalled(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs were no better than the best; None: never."""
        return bool(patience) and bool(self.history) and self._since_best() >= patience

    def _since_best(self) -> int:
        return len(self.history) - self.best_epoch


def _rank(record: dict[str, Any]) -> tuple[float, float]:
    validation = record["validation"]
    return validation["macro_f1"], -validation["loss"]
