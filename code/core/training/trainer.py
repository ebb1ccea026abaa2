"""The training loop, top to bottom."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from core.machine.distributed import any_of, from_first, highest, is_first, rank, together
from core.machine.interruption import Interruption, explaining_dead_workers
from core.training.callbacks import Callback, closing
from core.training.checkpoint import Checkpoints
from core.training.epoch_progress import EpochProgress, Step
from core.training.learner import Learner
from core.training.progress import Progress
from core.training.seeding import random_states, restore_random_state, seed_everything
from core.training.settings import TrainingSettings
from core.training.task import Batch, Folder, Task

log = logging.getLogger(__name__)


class Trainer:
    """Trains a task, keeps its best epoch, and tests that epoch."""

    def __init__(
        self,
        learner: Learner,
        task: Task,
        folder: Folder,
        *,
        settings: TrainingSettings,
        interruption: Interruption | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.learner, self.task, self.folder = learner, task, folder
        self.settings, self.callbacks = settings, callbacks
        self.interruption = interruption or Interruption()
        self.progress = Progress(task.criterion)
        self.checkpoints = Checkpoints(folder.path / "checkpoints", settings.checkpoint_minutes)
        self._begun_epoch: dict[str, Any] | None = None
        self._stops_early = False

    def continue_from(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint, to which the learner has already been restored."""
        self.progress.restore(state)
        self._begun_epoch = state["epoch_progress"]
        if self.progress.history:
            # A loss with a schedule reports its weights for the last epoch it was told.
            self.task.begin_epoch(len(self.progress.history))
            self.folder.record(**self.progress.record(), **self.task.record())
            history, best_epoch = self.progress.history, self.progress.best_epoch
            self._heed([each.on_resume(history, best_epoch) for each in self.callbacks])

    def fit(self) -> dict[str, Any]:
        """Train, test the best checkpoint, and return what results.json holds."""
        with closing(self.callbacks), logging_redirect_tqdm():
            try:
                self._run_epochs()
            finally:
                self.checkpoints.wait()
        training_seconds, testing_since = self.progress.seconds, time.perf_counter()
        self._test()
        timings = {"evaluation_seconds": time.perf_counter() - testing_since}
        self.folder.record(timings={"training_seconds": training_seconds, **timings})
        return self.folder.results

    def _run_epochs(self) -> None:
        last, stopped = self.settings.num_epochs, False
        while self.progress.next_epoch <= last and not (self._stops_early or stopped):
            with self.interruption.deferred(), explaining_dead_workers(self.interruption):
                self.run_epoch()
            stopped = any_of(self.interruption.requested)
        self.checkpoints.finish()
        if stopped:
            raise KeyboardInterrupt

    def run_epoch(self) -> None:
        """Train, validate, keep the best, and publish."""
        epoch = self.progress.next_epoch
        begun = self._begin_epoch(epoch)
        learner, task = self.learner, self.task
        batches = tqdm(
            self._guarded(task.train_batches, begun),
            desc=f"epoch {epoch}/{self.settings.num_epochs}",
            unit="batch",
            initial=begun.step,
            total=begun.step + len(task.train_batches),
            disable=None if is_first() else True,  # None: off unless it is a terminal
            leave=False,
        )
        train = train_epoch(learner, task, batches, begun, lambda: self._after_step(begun))
        record = {"epoch": epoch, "learning_rate": begun.learning_rate, "train": train}
        if self.settings.head_epochs:
            record["phase"] = "head" if learner.head_only else "all"
        loss_record = task.loss_record()
        validation = task.validate(learner, lambda part: self._guarded(part, begun), epoch)
        record = from_first(lambda: {**record, "validation": validation, **loss_record})
        is_best = self.progress.add(record)
        self.save(is_best=is_best)
        told = task.tell(validation)
        log.info("%s", self.progress.line(self.settings.num_epochs, told, is_best))
        best_epoch = self.progress.best_epoch
        if any(each.reads_files(epoch) for each in self.callbacks):
            self.checkpoints.wait()
        self._heed([each.on_epoch_end(record, best_epoch) for each in self.callbacks])

    def _begin_epoch(self, epoch: int) -> EpochProgress:
        """Seed the epoch; continue within it if the checkpoint was saved within it."""
        device, state = self.learner.device, self._begun_epoch
        self._begun_epoch = None
        seed_everything(self.task.seed, epoch, rank())
        self.task.begin_epoch(epoch)
        self.learner.train_head_only(epoch <= self.settings.head_epochs)
        begun = EpochProgress(epoch, self.learner.learning_rate)
        if state:
            begun = EpochProgress(**state["progress"])
            self.task.restore_epoch_state(state["objective"], device)
            restore_random_state(state["random"], device)
        self.task.train_batches.set_epoch(epoch, begun.step)
        return begun

    def save(self, begun: EpochProgress | None = None, *, is_best: bool = False) -> None:
        """Save a checkpoint; within an epoch, check first that all its numbers are finite."""
        within = None
        if begun:
            begun.check()
            within = {
                "progress": begun.state_dict(),
                "objective": self.task.epoch_state(),
                "random": random_states(self.learner.device),
            }
        state = {**self.learner.state_dict(), **self.progress.state_dict()}
        sections = {**self.progress.record(), **self.task.record()}
        publish = None if begun else partial(self.folder.record, **sections)
        self.checkpoints.save({**state, "epoch_progress": within}, is_best, publish)

    def _after_step(self, begun: EpochProgress) -> None:
        """Save if a checkpoint is due; stop if the training was asked to."""
        # 2 means stop, which saves as well.
        wanted = 2 if self.interruption.requested else int(self.checkpoints.are_due())
        if highest(wanted) == 1:
            self.save(begun)
        self._stop_where_asked(begun)

    def _guarded(self, batches: Iterable[Batch], begun: EpochProgress) -> Iterator[Batch]:
        """Yield the batches; save before an error or a stop between them ends the run.

        Between two batches the learner is consistent, even if several batches make one update. So
        an unreadable image, or a stop during validation, loses no update.
        """
        try:
            for batch in together(batches):
                yield batch
                self._stop_where_asked(begun)
        except Exception:
            self.save(begun)
            self.checkpoints.finish()
            raise

    def _stop_where_asked(self, begun: EpochProgress) -> None:
        if any_of(self.interruption.requested):
            self.save(begun)
            self.checkpoints.finish()
            raise KeyboardInterrupt

    def _heed(self, answers: Sequence[bool | None]) -> None:
        """Stop every process after this epoch if a callback of any of them asked for it."""
        self._stops_early = any_of(any(answers))

    def _test(self) -> None:
        """All reported figures come from one checkpoint, read back from disk."""
        state = from_first(lambda: self.checkpoints.weights(self.settings.tested_epoch))
        self.learner.evaluated_model.load_state_dict(state["model"])
        self.learner.objective.load_state_dict(state["objective"])
        sections = self.task.test(self.learner, self.folder)
        self.folder.record(tested_epoch=len(state["history"]), **sections)


def train_epoch(
    learner: Learner,
    task: Task,
    batches: Iterable[Batch],
    begun: EpochProgress,
    after_step: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Update the weights once per `accumulation_steps` batches, and once for the remainder.

    Returns the mean loss, images per second and share of time spent waiting, for the whole epoch.
    Raises InputError for a loss or gradient that is not finite.
    """
    learner.train()
    for group in begun.grouped(batches, learner.accumulation_steps):
        images, learning_rate = [batch["image_id"] for batch in group], learner.learning_rate
        losses, gradient_norm = update(learner, task, group)
        begun.add(Step(begun.step + 1, images, learning_rate, losses, gradient_norm))
        after_step()
    begun.check()
    return begun.report()


def update(
    learner: Learner, task: Task, group: Sequence[Batch]
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Forward and backward for each batch, then one step of the optimizer.

    Each batch is weighted by its number of images: for losses that are means over images, the
    gradient equals that of one large batch. Several processes exchange gradients once per update.
    Returns the detached losses and the gradient norm before clipping.
    """
    num_images = sum(len(batch["image_id"]) for batch in group)
    losses = []
    for batch in group:
        share = 1.0 if task.sums_over_images else len(batch["image_id"]) / num_images
        with learner.exchanging_gradients(batch is group[-1]):
            loss = task.loss(task.forward(learner, batch), batch)
            learner.scaler.scale(loss if share == 1 else loss * share).backward()
        losses.append(loss.detach())
    gradient_norm = learner.clip_gradients()
    learner.step()
    return losses, gradient_norm
