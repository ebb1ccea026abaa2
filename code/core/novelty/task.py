"""Training a detector of novelty on clean strips."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from core.errors import InputError
from core.machine.distributed import gathered_rows, rank
from core.novelty.detectors.learned import LearnedDetector
from core.training.frozen_features import SHARD_SIZES
from core.training.learner import Learner
from core.training.progress import brief
from core.training.task import Batch, Folder, Guard, Task, TrainBatches, get_registry

CODES_USED = "codes_used"
_OF_CODES = (CODES_USED, "perplexity")


@get_registry().register("novelty")
class NoveltyTask(Task):
    """A detector's network learns to give the target of each image.

    The learner's model is the network. A batch holds `image`, `image_id`, and the target as
    `second_view`. The criterion is the detector's. An epoch's record has each term of the loss, and
    of codebooks the number of codes that a batch uses and their perplexity, as means over the
    quantizers.
    """

    def __init__(
        self,
        detector: LearnedDetector,
        train_batches: TrainBatches,
        watched: Iterable[Batch],
        seed: int,
    ) -> None:
        """`watched` are pairs of clean strips that are not trained on, the same at each call."""
        super().__init__(detector.create_loss(), train_batches, seed)
        self.detector, self.watched = detector, watched
        self.criterion = detector.criterion
        self._means = Means()

    def begin_epoch(self, epoch: int) -> None:
        self._means = Means()

    def epoch_state(self) -> dict[str, Any]:
        return self._means.state_dict()

    def restore_epoch_state(self, state: dict[str, Any], device: torch.device) -> None:
        self._means = Means(**state)

    def loss(self, output: Mapping[str, Any], batch: Batch) -> Tensor:
        figures = self._figures(output, batch)
        self._means.add(figures, len(batch["image_id"]))
        return figures["loss"]

    def loss_record(self) -> dict[str, Any]:
        means = self._means.values()
        codes = {name: means.pop(name) for name in _OF_CODES if name in means}
        del means["loss"]
        return {"loss_terms": means, **({"codes": codes} if codes else {})}

    @torch.no_grad()
    def validate(self, learner: Learner, guard: Guard, epoch: int) -> dict[str, Any]:
        """The loss, its terms and the codes used, over the watched strips."""
        network, means = learner.evaluated_model.eval(), Means()
        self.objective.eval()
        for batch in guard(self.watched):
            with learner.precision.autocast():
                output = network(batch["image"].to(learner.device, non_blocking=True))
            means.add(self._figures(output, batch), len(batch["image_id"]))
        figures = means.values()
        if not torch.isfinite(torch.tensor(list(figures.values()))).all():
            raise InputError(
                f"epoch {epoch}: the output for clean strips is not finite (learning rate "
                f"{learner.learning_rate:.6g}): give a lower training.learning_rate"
            )
        return figures

    def tell(self, validation: Mapping[str, Any]) -> str:
        told = f"validation {brief(validation[self.criterion.figure])}"
        codes = validation.get(CODES_USED)
        return told if codes is None else f"{told}  codes {brief(codes)}"

    def test(self, learner: Learner, folder: Folder) -> dict[str, Any]:
        """Give the detector the tested weights; it is tested once it has a threshold."""
        self.detector.network.load_state_dict(learner.evaluated_model.state_dict())
        return {}

    def _figures(self, output: Mapping[str, Any], batch: Batch) -> dict[str, Tensor]:
        """The loss, its terms, and the figures of codebooks, over all images of a batch."""
        device = next(value.device for value in output.values() if isinstance(value, Tensor))
        target = batch["second_view"].to(device, non_blocking=True)
        loss, terms = self.objective(output, target)
        codes = {name: output[name].float().mean() for name in _OF_CODES if name in output}
        return over_processes({"loss": loss, **terms, **codes}, batch.get(SHARD_SIZES))


class Means:
    """Means over images of figures of batches; the sums stay on the device until they are read."""

    def __init__(self, sums: Mapping[str, float] | None = None, num_images: int = 0) -> None:
        self._sums: dict[str, Tensor | float] = dict(sums or {})
        self._num_images = num_images

    def add(self, figures: Mapping[str, Tensor], num_images: int) -> None:
        for name, value in figures.items():
            added = value.detach().double() * num_images
            self._sums[name] = self._sums.get(name, 0.0) + added
        self._num_images += num_images

    def values(self) -> dict[str, float]:
        return {name: float(total) / self._num_images for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Plain values, by which the means are constructed again."""
        sums = {name: float(total) for name, total in self._sums.items()}
        return {"sums": sums, "num_images": self._num_images}


def over_processes(figures: Mapping[str, Tensor], sizes: list[int] | None) -> dict[str, Tensor]:
    """Figures over a batch of which each process has so many images; None: each has all.

    The values are those over the whole batch. The gradient is that of this process's images, for
    DistributedDataParallel to average.
    """
    if sizes is None:
        return dict(figures)
    own = torch.stack(list(figures.values())) * (sizes[rank()] * len(sizes) / sum(sizes))
    whole = gathered_rows(own.detach().unsqueeze(0), [1] * len(sizes)).mean(0)
    return dict(zip(figures, own + (whole - own).detach(), strict=True))
