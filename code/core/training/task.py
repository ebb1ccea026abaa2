"""The interface between the trainer and a kind of learning."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.registry import Registry
from core.training.learner import Learner
from core.training.progress import Criterion, brief

Batch = Mapping[str, Any]
Guard = Callable[[Iterable[Batch]], Iterator[Batch]]


class TrainBatches(Protocol):
    """The batches of an epoch; each has `image` and `image_id`, with one entry per image."""

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class Folder(Protocol):
    """Where a training writes; with several processes, only the first one does."""

    path: Path
    results: dict[str, Any]

    def record(self, **sections: Any) -> None:
        """Put sections into results.json."""

    def write_predictions(self, parts: Mapping[str, Any], names: Sequence[str], /) -> None:
        """Write predictions.csv."""


class Task(ABC):
    """How a batch becomes a loss, how an epoch is validated, and what is tested at the end.

    The parameters of `objective`, if any, are trained with the model's. Epochs count from 1.
    """

    criterion: Criterion | None = None
    """What the best epoch is chosen by; None: the last epoch is the best."""

    def __init__(self, objective: nn.Module, train_batches: TrainBatches, seed: int) -> None:
        self.objective, self.train_batches, self.seed = objective, train_batches, seed

    @property
    def sums_over_images(self) -> bool:
        """Whether the loss of a batch is a sum over its images instead of a mean."""
        return False

    def begin_epoch(self, epoch: int) -> None:
        """Called before an epoch begins or is continued."""
        return None

    def epoch_state(self) -> Any:
        """What a checkpoint within an epoch has to hold for this task."""
        return None

    def restore_epoch_state(self, state: Any, device: torch.device) -> None:
        """Continue within an epoch; called after `begin_epoch`."""
        return None

    def forward(self, learner: Learner, batch: Batch) -> Any:
        """The output of the model, computed in the learner's precision."""
        return learner.output(batch)

    @abstractmethod
    def loss(self, output: Any, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar; computed outside the model's precision."""

    def loss_record(self) -> dict[str, Any]:
        """Entries for the epoch's record that describe its loss."""
        return {}

    @abstractmethod
    def validate(self, learner: Learner, guard: Guard, epoch: int) -> dict[str, Any]:
        """Validation figures, among them `loss` and the criterion's figure.

        Wrap the batches in `guard`, so that a stop is noticed between them. Raises InputError where
        an output of the model is not finite.
        """

    def tell(self, validation: Mapping[str, Any]) -> str:
        """The validation figures for the epoch's line in the log."""
        return f"validation {brief(validation['loss'])}"

    def record(self) -> dict[str, Any]:
        """Sections of results.json that can change with each epoch."""
        return {}

    @abstractmethod
    def test(self, learner: Learner, folder: Folder) -> dict[str, Any]:
        """Test the learner's weights, write the outcome, and return sections of results.json.
        Called in all processes; only the first one writes.
        """


_registry: Registry[Task] = Registry(base_class=Task, name="tasks")


def get_registry() -> Registry[Task]:
    """The tasks; the contract tests run over all of them."""
    return _registry
