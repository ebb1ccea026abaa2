"""Optional reactions to each epoch of a training."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.files.checkpoint import load_checkpoint
from core.files.writing import copy_file
from core.machine.distributed import is_first
from core.training.progress import Criterion
from core.training.settings import TrainingSettings
from core.training.trackers.tensorboard import TensorBoard  # noqa: F401  a tracker, where people look

log = logging.getLogger(__name__)


class Callback:
    """Called after each epoch, and once at the end, however the training ends."""

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> bool | None:
        """`record` is the epoch's entry in the history of results.json; True stops the training."""

    def reads_files(self, epoch: int) -> bool:
        """Whether `on_epoch_end` reads the checkpoint of the epoch, or results.json.

        The training then waits until they are written, which is done in the background.
        """
        return True

    def on_resume(self, history: Sequence[dict[str, Any]], best_epoch: int) -> bool | None:
        """The training continues after these epochs; by default, repeat the calls for them."""
        answers = [self.on_epoch_end(record, best_epoch) for record in history]
        return any(answers)

    def close(self) -> None:
        """The training has ended."""


@contextmanager
def closing(callbacks: Sequence[Callback]) -> Iterator[None]:
    """Close the callbacks at the end. After an error, their own errors are only logged."""
    try:
        yield
    except BaseException:
        for callback in callbacks:
            try:
                callback.close()
            except Exception as error:
                log.error("%s", error)
        raise
    for callback in callbacks:
        callback.close()


class EarlyStopping(Callback):
    """Stops when the last `patience` epochs were no better than the best, by the `criterion`.

    The first `head_epochs`, which train the head alone, are not counted: what all can learn is not
    known before. One of them may still be the best.
    """

    def __init__(self, patience: int, criterion: str = "figure", head_epochs: int = 0) -> None:
        self.patience = patience
        self.criterion = criterion
        self.head_epochs = head_epochs

    def reads_files(self, epoch: int) -> bool:
        return False

    def is_over(self, epoch: int, best_epoch: int) -> bool:
        """Whether the training stops after this epoch."""
        return epoch - max(best_epoch, self.head_epochs) >= self.patience

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> bool:
        if not self.is_over(record["epoch"], best_epoch):
            return False
        log.info(
            "No better validation %s for %d epochs: stopping early", self.criterion, self.patience
        )
        return True

    def on_resume(self, history: Sequence[dict[str, Any]], best_epoch: int) -> bool:
        return self.on_epoch_end(history[-1], best_epoch)


class ModelCheckpoint(Callback):
    """Keeps the checkpoint of every n-th epoch, beside the best and the last one.

    It copies `last.pt` of `folder` to `epoch_<number>.pt`.
    """

    def __init__(self, folder: Path, every_n_epochs: int = 1) -> None:
        self.folder = folder
        self.every_n_epochs = every_n_epochs

    def reads_files(self, epoch: int) -> bool:
        return epoch % self.every_n_epochs == 0

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> None:
        if self.reads_files(record["epoch"]):
            copy_file(self.folder / "last.pt", self._file(record))

    def on_resume(self, history: Sequence[dict[str, Any]], best_epoch: int) -> None:
        """Keep the last epoch if the run was killed before it could: not when last.pt is later."""
        if not self._file(history[-1]).exists():
            last = load_checkpoint(self.folder / "last.pt")
            if last["epoch_progress"] is None:
                self.on_epoch_end(history[-1], best_epoch)

    def _file(self, record: dict[str, Any]) -> Path:
        return self.folder / f"epoch_{record['epoch']:04d}.pt"


def chosen_callbacks(
    settings: TrainingSettings, folder: Path, criterion: Criterion | None
) -> list[Callback]:
    """The callbacks that `training.*` asks for; those that write are the first process's alone."""
    callbacks: list[Callback] = []
    if is_first() and (every := settings.checkpoint_every_n_epochs):
        callbacks.append(ModelCheckpoint(folder / "checkpoints", every))
    if settings.early_stopping_patience and criterion:
        patience, head_epochs = settings.early_stopping_patience, settings.head_epochs
        callbacks.append(EarlyStopping(patience, criterion.name, head_epochs))
    return callbacks
