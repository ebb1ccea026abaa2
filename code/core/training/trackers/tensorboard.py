"""TensorBoard's logs in the folder of the experiment."""

import shutil
from pathlib import Path
from typing import Any

from core.training.trackers.following import Tracker, numbers


class TensorBoard(Tracker):
    """Writes the numbers of each epoch to `<experiment>/tensorboard/`, starting from empty."""

    def __init__(self, path: Path) -> None:
        # Imported here because it takes a second, which most runs can save.
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(path / "tensorboard", ignore_errors=True)
        self._writer = SummaryWriter(str(path / "tensorboard"))
        self._num_epochs = 0

    def follow(self, results: dict[str, Any]) -> None:
        history = results.get("history", [])
        for record in history[self._num_epochs :]:
            for tag, value in numbers(record).items():
                self._writer.add_scalar(tag, value, record["epoch"])
        self._num_epochs = max(self._num_epochs, len(history))

    def close(self) -> None:
        self._writer.close()
