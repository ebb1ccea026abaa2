"""A small learner and its data for every registered task; contract tests run over them."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.losses.factory import get_loss
from core.novelty.detectors import get_registry as detectors
from core.novelty.task import NoveltyTask
from core.pretraining.methods import get_registry as methods
from core.pretraining.probe import Probe
from core.pretraining.task import PretrainingTask
from core.training.classification.objective import Objective
from core.training.classification.task import ClassificationTask
from core.training.learner import Learner
from core.training.progress import Criterion
from core.training.seeding import seed_everything
from core.training.settings import RuntimeSettings, TrainingSettings
from core.training.task import Batch, Folder, Guard, Task

CPU = torch.device("cpu")
NUM_BATCHES, BATCH_SIZE, SIZE, NUM_FEATURES = 4, 6, (8, 12), 6
SETTINGS = TrainingSettings(num_epochs=3, learning_rate=0.05, warmup_epochs=0, ema_decay=0.5)


class Batches:
    """Batches in an order that is a function of the epoch, as the loader's are."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.epoch, self.start = 1, 0
        self.all = [self._batch(generator, number) for number in range(NUM_BATCHES)]
        self.dataset = SimpleNamespace(true_masks=lambda _: None)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        self.epoch, self.start = epoch, start_batch

    def __len__(self) -> int:
        return NUM_BATCHES - self.start

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng(self.epoch).permutation(NUM_BATCHES)
        return iter([self.all[place] for place in order[self.start :]])

    @staticmethod
    def _batch(generator: torch.Generator, number: int) -> dict[str, Any]:
        shape = (BATCH_SIZE, 1, *SIZE)
        images = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8)
        bright = images.float().mean((1, 2, 3)) > 127
        labels = torch.stack([bright, ~bright], 1).float()
        ids = [f"{number}_{place}.jpg" for place in range(BATCH_SIZE)]
        return {"image": images, "labels": labels, "image_id": ids}


class Pairs(Batches):
    """The same, with the second views and the numbers of the images."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        for number, batch in enumerate(self.all):
            batch["second_view"] = batch["image"].flip(3)
            batch["row"] = torch.arange(BATCH_SIZE) + BATCH_SIZE * number


class Network(nn.Module):
    """Dropout, so that an epoch that is gone on with needs its random numbers."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4, num_outputs)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images.float() / 255).relu().mean((2, 3))
        return self.head(self.drop(features))


class MeanGrey(Task):
    """Learning without labels: what the mean grey value of an image is."""

    criterion = Criterion("error", "error", larger_is_better=False)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        grey = batch["image"].float().mean((2, 3)) / 255
        return self.objective(output, grey)

    @torch.no_grad()
    def validate(self, learner: Learner, guard: Guard, epoch: int) -> dict[str, Any]:
        model = learner.evaluated_model.eval()
        errors = [
            self.loss(model(batch["image"]), batch).item() for batch in guard(Batches(seed=2))
        ]
        return {"loss": float(np.mean(errors)), "error": float(np.mean(errors))}

    def test(self, learner: Learner, folder: Folder) -> dict[str, Any]:
        found = self.validate(learner, iter, epoch=0)
        return {"test": {"error": found["error"]}}


def classification() -> Task:
    loaders = {"train": Batches(seed=1), "validation": Batches(seed=2), "test": Batches(seed=3)}
    return ClassificationTask(
        Objective(get_loss({"type": "bce_with_logits"})), loaders, ("a", "b"), seed=5
    )


def mean_grey() -> Task:
    return MeanGrey(nn.MSELoss(), Batches(seed=1), seed=5)


def pretraining() -> Task:
    """MoCo, which keeps more than any other method: a queue and a key encoder."""
    method = methods().get("moco", queue_size=2 * BATCH_SIZE, hidden_size=8, embedding_size=4)
    seed_everything(5)
    method.attach(Network(NUM_FEATURES), NUM_FEATURES)
    probe = Probe(Batches(seed=2), Batches(seed=3), every=1)
    return PretrainingTask(method, Pairs(seed=1), Pairs(seed=2), 5, probe)


def novelty() -> Task:
    """An autoencoder with noise and codebooks, which keeps more than any other detector."""
    seed_everything(5)
    options = {"codebook_size": 4, "num_quantizers": 2}
    detector = detectors().get("autoencoder", bottleneck="rvq_vae", bottleneck_options=options)
    detector.attach(1, SIZE)
    batches = [Batches(seed=number) for number in (1, 2)]
    for batch in (batch for part in batches for batch in part.all):
        batch["second_view"] = batch["image"]
    return NoveltyTask(detector, *batches, 5)


EXAMPLES: dict[str, tuple[Callable[[], Task], Callable[[Task], nn.Module]]] = {
    "classification": (classification, lambda task: Network(2)),
    "pretraining": (pretraining, lambda task: Network(NUM_FEATURES)),
    "novelty": (novelty, lambda task: task.detector.network),
    # Not registered: it holds the trainer to knowing nothing about labels.
    "mean_grey": (mean_grey, lambda task: Network(1)),
}
"""By the name of a task, what makes it, and what makes its network."""


def build(name: str) -> tuple[Learner, Task]:
    """A new learner and task, the same at every call."""
    make, network = EXAMPLES[name]
    task = make()
    seed_everything(task.seed)
    runtime = RuntimeSettings(precision="float32", channels_last=False)
    learner = Learner.create(
        network(task),
        task.objective,
        SETTINGS,
        steps_per_epoch=NUM_BATCHES,
        device=CPU,
        runtime=runtime,
    )
    if isinstance(task, NoveltyTask):
        task.detector.follow(learner.optimizer)
    return learner, task
