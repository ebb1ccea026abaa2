"""When a training is saved: after each epoch, every so many minutes, and before it has to stop."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from core.training.checkpoint import Checkpoints
from core.training.distributed import any_of, highest, is_first, together, wait_for_all
from core.training.epoch_progress import EpochProgress
from core.training.interruption import Interruption
from core.training.learner import Learner
from core.training.learner_state import epoch_state, learner_state
from core.training.progress import Progress
from core.training.stopwatch import Stopwatch


class Saver:
    """Writes the checkpoints of one training.

    Processes that train together agree when to save and when to stop; the first of them writes.
    """

    def __init__(
        self,
        learner: Learner,
        checkpoints: Checkpoints,
        interruption: Interruption,
        minutes: float | None,
    ) -> None:
        """`minutes` between two checkpoints within an epoch; None: at its end only."""
        self.learner, self.checkpoints = learner, checkpoints
        self.interruption, self.minutes = interruption, minutes
        self.progress, self.stopwatch = Progress(), Stopwatch()
        self._saved_at = time.monotonic()

    def save(self, epoch_progress: EpochProgress | None = None, *, is_best: bool = False) -> None:
        """Save a checkpoint, within an epoch where there is `epoch_progress`.

        Raises:
            InputError: a step since the last look was not finite; the old files stay.
        """
        if epoch_progress:
            epoch_progress.finite_steps.check()
        begun = epoch_state(self.learner, epoch_progress) if epoch_progress else None
        if is_first():
            state = {
                **learner_state(self.learner),
                "history": self.progress.history,
                "best_epoch": self.progress.best_epoch,
                "training_seconds": self.stopwatch.seconds,
                "epoch_progress": begun,
            }
            self.checkpoints.save(state, is_best)
        wait_for_all()
        self._saved_at = time.monotonic()

    def after_step(self, epoch_progress: EpochProgress) -> None:
        """Save where it is time to, or where the training is to stop, which it then does."""
        due = self.minutes and time.monotonic() - self._saved_at >= 60 * self.minutes
        # 2 is to stop, which saves as well.
        if highest(2 if self.interruption.requested else int(bool(due))) == 1:
            self.save(epoch_progress)
        self._stop_where_asked(epoch_progress)

    def guard(
        self, batches: Iterable[dict[str, Any]], epoch_progress: EpochProgress
    ) -> Iterator[dict[str, Any]]:
        """Hand on batches, and save what was reached when the next one cannot be had.

        Between two batches the learner is whole, also where several make one update, so that an
        image that cannot be read, or a stop that is asked for during the validation, costs no
        update.
        """
        try:
            for batch in together(batches):
                yield batch
                self._stop_where_asked(epoch_progress)
        except Exception:
            self.save(epoch_progress)
            raise

    def _stop_where_asked(self, epoch_progress: EpochProgress) -> None:
        if any_of(self.interruption.requested):
            self.save(epoch_progress)
            raise KeyboardInterrupt
