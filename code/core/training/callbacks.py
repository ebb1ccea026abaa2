"""Optional reactions to each epoch of a training."""

import shutil
from pathlib import Path
from typing import Any, Protocol


class Callback(Protocol):
    """Called after each epoch, on a resume also for earlier ones, and once when training ends."""

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> None:
        """`record` is the epoch's entry in the history of results.json."""

    def close(self) -> None:
        """The training has ended."""


class TensorBoard:
    """Writes the numbers of each epoch to `<experiment>/tensorboard/`, starting from empty."""

    def __init__(self, folder: Path) -> None:
        # Imported here because it takes a second, which most runs can save.
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
