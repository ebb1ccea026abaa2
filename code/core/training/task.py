"""What a trainer is given: a kind of learning."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.registry import Registry
from core.training.learner import Learner
from core.training.progress import Criterion

Batch = Mapping[str, Any]
Guard = Callable[[Iterable[Batch]], Iterator[Batch]]


class TrainBatches(Protocol):
    """The batches of an epoch; each holds `image` and `image_id`, one of each per image."""

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class Folder(Protocol):
    """Where a training writes; of several processes the first alone does."""

    path: Path
    results: dict[str, Any]

    def record(self, **sections: Any) -> None:
        """Put sections into results.json."""

    def write_predictions(self, parts: Mapping[str, Any], names: Sequence[str], /) -> None:
        """Write predictions.csv."""


class Task(ABC):
    """How a batch becomes a loss, how an epoch is validated, and what is tested at the end.

    `objective` is a module whose parameters, where it has any, are learnt beside the model's.
    Epochs are counted from 1.
    """

    criterion: Criterion | None = None
    """By what the best epoch is chosen; None: the last one is the best."""

    def __init__(self, objective: nn.Module, train_batches: TrainBatches, seed: int) -> None:
        self.objective, self.train_batches, self.seed = objective, train_batches, seed

    @property
    def sums_over_images(self) -> bool:
        """Whether the loss of a batch is the sum over its images, and not their mean."""
        return False

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins, or is gone on with."""
        return None

    def epoch_state(self) -> Any:
        """What a checkpoint within an epoch has to hold of the task."""
        return None

    def restore_epoch_state(self, state: Any, device: torch.device) -> None:
        """Go on within an epoch; after `begin_epoch`."""
        return None

    def forward(self, learner: Learner, batch: Batch) -> Any:
        """What the model answers, in the learner's precision."""
        images = batch["image"].to(learner.device, non_blocking=True)
        with learner.precision.autocast():
            return learner.trained_model(images)

    @abstractmethod
    def loss(self, output: Any, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar, outside of the model's precision."""

    def loss_record(self) -> dict[str, Any]:
        """What the losses of the epoch were made of: entries of its record."""
        return {}

    @abstractmethod
    def validate(self, learner: Learner, guard: Guard, epoch: int) -> dict[str, Any]:
        """Figures of the validation part, `loss` and the criterion's among them.

        `guard` stands around the batches, so that a stop is noticed between them.

        Raises:
            InputError: what the model answers is not finite.
        """

    def tell(self, validation: Mapping[str, Any]) -> str:
        """The validation's figures as the line of an epoch in the log says them."""
        return f"validation loss {validation['loss']:.4f}"

    def record(self) -> dict[str, Any]:
        """Sections of results.json that may change from epoch to epoch."""
        return {}

    @abstractmethod
    def test(self, learner: Learner, folder: Folder) -> dict[str, Any]:
        """Test the weights that the learner holds, write what is left of them, and return sections
        of results.json. Called in all processes; the first alone writes.
        """


_registry: Registry[Task] = Registry(base_class=Task, name="tasks")


def get_registry() -> Registry[Task]:
    """The tasks; the contract tests run over all of them."""
    return _registry
