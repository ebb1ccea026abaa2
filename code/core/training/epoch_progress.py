"""The progress of an epoch, and the check that all its numbers are finite."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import torch

from core.errors import InputError

T = TypeVar("T")

CHECK_EVERY = 50
"""Updates between two checks. A check makes the device finish all of its work."""

_SHOWN_IMAGES = 16


@dataclass(frozen=True)
class Step:
    """One update of the weights by a batch, or by several whose gradients were summed.

    `number` counts batches within the epoch and is that of the first batch. Losses and
    `gradient_norm` are scalars left on the device. The norm is None if it may be infinite.
    """

    number: int
    image_ids: Sequence[Sequence[str]]
    learning_rate: float
    losses: Sequence[torch.Tensor]
    gradient_norm: torch.Tensor | None


@dataclass
class EpochProgress:
    """Sums over the batches of an epoch so far, and the time they took.

    `total_loss` is summed on the device: reading a number at each step would make the device wait
    for Python. `learning_rate` is that of the first step. `step` counts batches, even if several
    make one update: it is the position in the order of the images.
    """

    epoch: int
    learning_rate: float
    total_loss: torch.Tensor | float = 0.0
    step: int = 0
    num_images: int = 0
    waiting_seconds: float = 0.0
    earlier_seconds: float = 0.0
    _unchecked: list[Step] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)

    def grouped(self, batches: Iterable[T], number: int) -> Iterator[list[T]]:
        """Lists of `number` batches, the last one with the remainder; times the waiting for them.

        A list is complete before it is used. So if reading a batch fails, the learner is between
        two updates.
        """
        iterator = iter(batches)
        while True:
            waiting_since = time.perf_counter()
            group = list(islice(iterator, number))
            self.waiting_seconds += time.perf_counter() - waiting_since
            if not group:
                return
            yield group

    def add(self, step: Step) -> None:
        """Count one update, its losses and images, and `check` once every `CHECK_EVERY` updates."""
        for loss, image_ids in zip(step.losses, step.image_ids, strict=True):
            self.total_loss += loss.double() * len(image_ids)
            self.num_images += len(image_ids)
        self._unchecked.append(step)
        self.step += len(step.losses)
        if len(self._unchecked) >= CHECK_EVERY:
            self.check()

    def check(self) -> None:
        """Check the updates since the last check.

        A gradient that is not finite spoils all weights, and so every later loss. Gradients are
        checked too; otherwise the batch after the faulty one would be blamed. Raises InputError for
        the first loss or gradient that is NaN or infinite, with its step, learning rate and images.
        """
        if not self._unchecked:
            return
        steps, self._unchecked = self._unchecked, []
        # All numbers in a single transfer.
        scalars = [value.double() for step in steps for value in _watched(step)]
        values = iter(torch.stack(scalars).tolist())
        for step in steps:
            found = [next(values) for _ in _watched(step)]
            if not all(math.isfinite(value) for value in found):
                raise InputError(_message(self.epoch, step, found))

    def report(self) -> dict[str, float]:
        """Mean loss, seconds, images per second and the share of time spent waiting for data."""
        seconds = self._seconds()
        return {
            "loss": float(self.total_loss) / max(1, self.num_images),
            "duration_seconds": seconds,
            "images_per_second": self.num_images / seconds,
            "data_wait_share": self.waiting_seconds / seconds,
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain values, by which the progress is constructed again; its time continues then."""
        kept = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {**kept, "total_loss": float(self.total_loss), "earlier_seconds": self._seconds()}

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self._started


def _watched(step: Step) -> list[torch.Tensor]:
    """The losses, and then the gradient norm if it is checked."""
    return [*step.losses, *([] if step.gradient_norm is None else [step.gradient_norm])]


def _message(epoch: int, step: Step, found: Sequence[float]) -> str:
    """`found` are the numbers of `_watched`."""
    losses, norms = found[: len(step.losses)], found[len(step.losses) :]
    bad = [place for place, loss in enumerate(losses) if not math.isfinite(loss)]
    first = bad[0] if bad else 0
    images = step.image_ids[first] if bad else [name for ids in step.image_ids for name in ids]
    what = f"loss became {losses[first]}" if bad else f"gradient became {norms[0]}"
    figures = [f"loss {losses[first]:.6g}", *(f"gradient norm {norm:.6g}" for norm in norms)]
    return (
        f"epoch {epoch}, step {step.number + first}: the {what} ({', '.join(figures)}, learning "
        f"rate {step.learning_rate:.6g}, images {named(images)}): give a lower "
        "training.learning_rate, or look at these images; the checkpoints hold what was reached "
        "before"
    )


def named(image_ids: Sequence[str]) -> str:
    """The images as a message names them."""
    more = len(image_ids) - _SHOWN_IMAGES
    return ", ".join(image_ids[:_SHOWN_IMAGES]) + (f" and {more} more" if more > 0 else "")
