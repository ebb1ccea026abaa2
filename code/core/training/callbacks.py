"""What may happen in a training, beside what always does."""

import shutil
from pathlib import Path
from typing import Any, Protocol


class Callback(Protocol):
    """Told of each finished epoch and of the end, however the training ends.

    A training that is resumed tells its earlier epochs again first.
    """

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> None:
        """`record` is the epoch's entry in the history of results.json."""

    def close(self) -> None:
        """Nothing more will come."""


class TensorBoard:
    """Writes the numbers of each epoch to `<experiment>/tensorboard/`, which it begins anew."""

    def __init__(self, folder: Path) -> None:
        # Only here: its import takes a second that most runs can save.
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> None:
        for tag, value in _scalars(record):
            self._writer.add_scalar(tag, value, record["epoch"])

    def close(self) -> None:
        self._writer.close()


def _scalars(record: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    scalars = []
    for key, value in record.items():
        if isinstance(value, dict):
            scalars += _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)):
            scalars.append((f"{prefix}{key}", float(value)))
    return scalars
