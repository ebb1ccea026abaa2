"""How far an epoch has come, so that it can go on in another process."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from core.training.finite_steps import FiniteSteps, Step


@dataclass
class EpochProgress:
    """The sums of an epoch over the batches that were learnt, and the seconds they took.

    `total_loss` is summed on the device: reading a number each step would make the device wait
    for Python. `learning_rate` is that of the first step. `step` counts batches, also where
    several make one update: it is the place in the order of the images.
    """

    epoch: int
    learning_rate: float
    total_loss: torch.Tensor
    step: int = 0
    num_images: int = 0
    waiting_seconds: float = 0.0
    earlier_seconds: float = 0.0
    finite_steps: FiniteSteps = field(init=False)
    _started: float = field(default_factory=time.perf_counter)

    @classmethod
    def begin(
        cls, epoch: int, learning_rate: float, device: torch.device | str = "cpu"
    ) -> "EpochProgress":
        """Before the first step of an epoch."""
        return cls(epoch, learning_rate, torch.zeros((), dtype=torch.float64, device=device))

    def __post_init__(self) -> None:
        self.finite_steps = FiniteSteps(self.epoch)

    def add(self, step: Step) -> None:
        """Count one update: mean loss and images of each of its batches.

        Raises:
            InputError: a loss or gradient is not finite; noticed within some steps.
        """
        for loss, image_ids in zip(step.losses, step.image_ids, strict=True):
            self.total_loss += loss.double() * len(image_ids)
            self.num_images += len(image_ids)
        self.step += len(step.losses)
        self.finite_steps.add(step)

    def report(self) -> dict[str, float]:
        """Mean loss, seconds, images per second and the share of time spent waiting for data."""
        seconds = self._seconds()
        return {
            "loss": float(self.total_loss) / max(1, self.num_images),
            "duration_seconds": seconds,
            "images_per_second": self.num_images / seconds,
            "data_wait_share": self.waiting_seconds / seconds,
        }

    def state(self) -> dict[str, Any]:
        """What `restored` takes, in plain values."""
        return {
            "epoch": self.epoch,
            "learning_rate": self.learning_rate,
            "total_loss": float(self.total_loss),
            "step": self.step,
            "num_images": self.num_images,
            "waiting_seconds": self.waiting_seconds,
            "earlier_seconds": self._seconds(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any], device: torch.device | str = "cpu") -> "EpochProgress":
        """The progress that `state` was taken of; the seconds go on from now."""
        total_loss = torch.tensor(state["total_loss"], dtype=torch.float64, device=device)
        return cls(**{**state, "total_loss": total_loss})

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self._started
