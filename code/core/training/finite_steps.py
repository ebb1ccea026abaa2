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
    """One update of the weights; `loss` and `gradient_norm` are scalars left on the device."""

    number: int
    image_ids: Sequence[str]
    learning_rate: float
    loss: torch.Tensor
    gradient_norm: torch.Tensor


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
                images, learning rate, loss and gradient norm.
        """
        if not self._unchecked:
            return
        steps, self._unchecked = self._unchecked, []
        losses = torch.stack([step.loss.double() for step in steps])
        norms = torch.stack([step.gradient_norm.double() for step in steps])
        rows = torch.stack([losses, norms], dim=1).tolist()
        for step, (loss, norm) in zip(steps, rows, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise InputError(_message(self.epoch, step, loss, norm))


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


def _message(epoch: int, step: Step, loss: float, norm: float) -> str:
    what = f"gradient became {norm}" if math.isfinite(loss) else f"loss became {loss}"
    return (
        f"epoch {epoch}, step {step.number}: the {what} (loss {loss:.6g}, gradient norm "
        f"{norm:.6g}, learning rate {step.learning_rate:.6g}, images "
        f"{_shown(step.image_ids)}): give a lower training.learning_rate, or "
        "look at these images; the checkpoints hold what was reached before"
    )


def _shown(image_ids: Sequence[str]) -> str:
    more = len(image_ids) - _SHOWN_IMAGES
    return ", ".join(image_ids[:_SHOWN_IMAGES]) + (f" and {more} more" if more > 0 else "")
