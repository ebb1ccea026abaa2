"""Learning a backbone from pairs of views."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import InputError
from core.machine.distributed import from_first, is_first
from core.pretraining.encoder import save_encoder
from core.pretraining.losses.gathering import gather_embeddings
from core.pretraining.methods.base import Method
from core.pretraining.probe import Probe, average_precision_of_probe
from core.training.classification.objective import logits_of
from core.training.frozen_features import SHARD_SIZES
from core.training.learner import Learner
from core.training.progress import Criterion, brief
from core.training.task import Batch, Folder, Guard, Task, TrainBatches, get_registry

log = logging.getLogger(__name__)

PROBE = "probe_average_precision"


class ProbeCriterion(Criterion):
    """Epochs without a probe are worse than those with one, and of two such the later is better.

    Their losses say nothing: that of MoCo rises while its queue fills.
    """

    def rank(self, record: Mapping[str, Any]) -> tuple[float, ...]:
        """A key that is larger for a better epoch."""
        if record["validation"][self.figure] is None:
            return float("-inf"), record["epoch"]
        return super().rank(record)


@get_registry().register("pretraining")
class PretrainingTask(Task):
    """A method learns from pairs of views, or of a painted strip and its mask.

    With a probe, its average precision chooses the epoch. A batch holds `image`, `second_view`,
    `image_id`, `row` and, for some methods, `labels`. With several processes, the features of the
    whole batch are gathered before the method sees them.
    """

    objective: Method

    def __init__(
        self,
        method: Method,
        train_batches: TrainBatches,
        watched: Iterable[Batch],
        seed: int,
        probe: Probe | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        """`watched` are pairs that are not trained on, the same at each call; `card` is what the
        encoder's card holds that is known before the training.
        """
        super().__init__(method, train_batches, seed)
        self.watched, self.probe, self.card = watched, probe, dict(card or {})
        if probe is not None:
            self.criterion = ProbeCriterion(PROBE, "average precision of the probe")

    def forward(self, learner: Learner, batch: Batch) -> tuple[Tensor, Tensor]:
        """The features of both views of this process's images."""
        self.objective.follow(learner.model)

        def encode(images: Tensor) -> Tensor:
            return learner.output({"image": images})

        return self._encoded(learner, encode, batch["image"], batch["second_view"])

    def loss(self, output: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
        sizes = batch.get(SHARD_SIZES)
        features = (gather_embeddings(each.float(), sizes) for each in output)
        return self._loss_and_embeddings(*features, batch)[0]

    def validate(self, learner: Learner, guard: Guard, epoch: int) -> dict[str, Any]:
        figures = self._figures(learner, guard)
        if not np.isfinite(figures["loss"]):
            raise InputError(
                f"epoch {epoch}: the embeddings are not finite (learning rate "
                f"{learner.learning_rate:.6g}): give a lower training.learning_rate"
            )
        if figures["collapsed"] and is_first():
            log.warning("%s: %s", self.objective.collapse, self._told(figures))
        if self.probe is not None:
            taken = epoch % self.probe.every == 0
            figures[PROBE] = self._probe(learner, guard) if taken else None
        return figures

    def tell(self, validation: Mapping[str, Any]) -> str:
        probe = validation.get(PROBE)
        return self._told(validation) + ("" if probe is None else f"  AP {probe:.3f}")

    def _told(self, figures: Mapping[str, Any]) -> str:
        told = [(name, figures[key]) for key, name in self.objective.told.items()]
        return "  ".join(f"{name} {brief(value)}" for name, value in told if value is not None)

    def test(self, learner: Learner, folder: Folder) -> dict[str, Any]:
        """Watch the tested epoch once more, and write its encoder with its card."""
        figures = self._figures(learner, iter)
        if is_first():
            history, best = folder.results["history"], folder.results["best_epoch"]
            trained = {"epochs": len(history), "best_epoch": best, **figures}
            card, left_out = {**self.card, **trained}, self.objective.left_out
            save_encoder(folder.path, learner.evaluated_model, card, left_out)
        return {"test": figures, "collapsed": figures["collapsed"]}

    @torch.no_grad()
    def _figures(self, learner: Learner, guard: Guard) -> dict[str, Any]:
        """Loss and figures of the watched pairs, which each process computes whole."""
        model, losses, pairs = learner.evaluated_model.eval(), [], []
        self.objective.eval()
        for batch in guard(self.watched):
            features = self._encoded(learner, model, batch["image"], batch["second_view"])
            loss, embeddings = self._loss_and_embeddings(*(f.float() for f in features), batch)
            losses.append(loss.item() * len(batch["image_id"]))
            pairs.append([each.cpu().numpy() for each in embeddings])
        first, second = (np.concatenate(each) for each in zip(*pairs, strict=True))
        mean = sum(losses) / len(first)
        if not np.isfinite(first).all():
            return {"loss": float("nan"), "collapsed": False}
        return {"loss": mean, **self.objective.figures(first, second)}

    def _loss_and_embeddings(
        self, first: Tensor, second: Tensor, batch: Batch
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        rows = batch["row"].to(first.device, non_blocking=True)
        labels = batch["labels"].to(first.device) if self.objective.needs_labels else None
        return self.objective(first, second, rows, labels)

    def _encoded(
        self, learner: Learner, encode: Callable[[Tensor], Tensor], first: Tensor, second: Tensor
    ) -> tuple[Tensor, Tensor]:
        device = learner.device
        views = (each.to(device, non_blocking=True) for each in (first, second))
        with learner.precision.autocast():
            return self.objective.encode(encode, *views)

    def _probe(self, learner: Learner, guard: Guard) -> float | None:
        parts = [
            self._features(learner, guard(loader))
            for loader in (self.probe.train, self.probe.validation)
        ]
        return from_first(lambda: average_precision_of_probe(*parts[0], *parts[1]))

    @torch.no_grad()
    def _features(
        self, learner: Learner, batches: Iterable[Batch]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The features and the labels of strips that no view changes."""
        model, features, labels = learner.evaluated_model.eval(), [], []
        for batch in batches:
            with learner.precision.autocast():
                found = logits_of(model(batch["image"].to(learner.device, non_blocking=True)))
            features.append(found.float().cpu().numpy())
            labels.append(np.asarray(batch["labels"]))
        return np.concatenate(features), np.concatenate(labels)
