"""A watch for losses and gradients that are not finite, which names the batch they came from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import InputError
from core.training.prediction import Predictions

CHECK_EVERY = 50
"""Steps between two looks. A look makes the device finish all of its work."""

_SHOWN_IMAGES = 16


@dataclass(frozen=True)
class Step:
    """One update of the weights by a batch, or by several whose gradients were summed.

    `number` is that of the first batch within the epoch. The loss of each batch and
    `gradient_norm` are scalars left on the device; the norm is None where an infinite one is
    nothing wrong.
    """

    number: int
    image_ids: Sequence[Sequence[str]]
    learning_rate: float
    losses: Sequence[torch.Tensor]
    gradient_norm: torch.Tensor | None


class FiniteSteps:
    """Keeps the steps since the last look, so that a late look still names the first bad one.

    From the first gradient that is not finite all weights are spoilt, and with them every later
    loss: the gradient is watched too, or the batch after the guilty one would be blamed.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._unchecked: list[Step] = []

    def add(self, step: Step) -> None:
        """Take a step; every `CHECK_EVERY` of them are checked.

        Raises:
            InputError: as `check`.
        """
        self._unchecked.append(step)
        if len(self._unchecked) >= CHECK_EVERY:
            self.check()

    def check(self) -> None:
        """Look at the steps since the last look.

        Raises:
            InputError: a loss or gradient is NaN or infinite; names the first such step, its
                images, learning rate, loss and gradient norm; of a summed gradient all of the
                images.
        """
        if not self._unchecked:
            return
        steps, self._unchecked = self._unchecked, []
        # One transfer of all numbers together.
        scalars = [value.double() for step in steps for value in _watched(step)]
        values = iter(torch.stack(scalars).tolist())
        for step in steps:
            found = [next(values) for _ in _watched(step)]
            if not all(math.isfinite(value) for value in found):
                raise InputError(_message(self.epoch, step, found))


def check_predictions(part: Predictions, epoch: int, learning_rate: float) -> None:
    """Look at the validation part: the last step of an epoch can spoil weights unnoticed.

    Raises:
        InputError: a logit or the loss is NaN or infinite.
    """
    if math.isfinite(part.loss) and np.isfinite(part.logits).all():
        return
    spoilt = np.flatnonzero(~np.isfinite(part.logits).all(axis=1))
    images = _shown([part.image_ids[index] for index in spoilt] or list(part.image_ids))
    raise InputError(
        f"epoch {epoch}, validation: the loss became {part.loss} (learning rate "
        f"{learning_rate:.6g}, images {images}): give a lower training.learning_rate; the "
        "checkpoints hold what was reached before this epoch"
    )


def _watched(step: Step) -> list[torch.Tensor]:
    """The losses, and then the norm if it is watched."""
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
        f"rate {step.learning_rate:.6g}, images {_shown(images)}): give a lower "
        "training.learning_rate, or look at these images; the checkpoints hold what was reached "
        "before"
    )


def _shown(image_ids: Sequence[str]) -> str:
    more = len(image_ids) - _SHOWN_IMAGES
    return ", ".join(image_ids[:_SHOWN_IMAGES]) + (f" and {more} more" if more > 0 else "")
