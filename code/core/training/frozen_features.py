"""What is frozen of a model computes each image once, while the images do not change."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from core.machine.distributed import is_first, rank
from core.training.precision import Precision

log = logging.getLogger(__name__)

LARGEST_BYTES = 2**30
"""Features that would take more memory than this are not kept."""

FEATURES = "features"
"""Key of a batch: the features of its images."""

AFTER_STAGE = "after_stage"
"""Key of a batch with features: the number of the stage that they come after, or None."""

SHARD_SIZES = "shard_sizes"
"""Key of a shared batch: how many of its images each process has, in their order."""


class FrozenFeatures:
    """The features of `num_images` images, which are the same in each epoch.

    They are kept in memory as the model computed them, not rounded, or not at all if all together
    would take more than `LARGEST_BYTES`. Each image is computed in a batch of its own, so that its
    features depend on nothing else: a resumed training, or one in several processes, has the same.
    """

    def __init__(self, num_images: int) -> None:
        self._num_images = num_images
        self.forget()

    def forget(self) -> None:
        """Start anew: another part of the model is frozen now."""
        self._known: dict[str, Tensor] = {}
        self._after_stage: int | None = None
        self._are_used = True

    def added_to(
        self, batch: Mapping[str, Any], model: nn.Module, device: torch.device, precision: Precision
    ) -> Mapping[str, Any]:
        """The batch with `features`; as it is where the model has none that are frozen."""
        own = _own_images(batch)
        for place, image_id in enumerate(own):
            if self._are_used and image_id not in self._known:
                self._compute(image_id, batch["image"][place : place + 1], model, device, precision)
        if not self._are_used:
            return batch
        features = torch.cat([self._known[image_id] for image_id in own])
        return {**batch, FEATURES: features, AFTER_STAGE: self._after_stage}

    def _compute(
        self,
        image_id: str,
        image: Tensor,
        model: nn.Module,
        device: torch.device,
        precision: Precision,
    ) -> None:
        compute = getattr(model, "frozen_features", None)
        found = None
        if compute:
            with torch.no_grad(), _evaluating(model), precision.autocast():
                # Twice: torch computes a batch of one by other routines than any larger one.
                found = compute(image.to(device).repeat(2, 1, 1, 1))
        if found is None or self._num_images * found[0][:1].nbytes > LARGEST_BYTES:
            self._are_used = False
            return
        features, self._after_stage = found
        if not self._known and is_first():
            log.info("What is frozen computes the features of each image once")
        self._known[image_id] = features[:1].to("cpu", copy=True)


class ByFeatures(nn.Module):
    """A model that is called with images, or with their frozen features."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, inputs: Tensor, are_features: bool = False, after_stage: int | None = None
    ) -> Any:
        if are_features:
            return self.model.classify(inputs, after_stage)
        return self.model(inputs)


def output_of(model: nn.Module, batch: Mapping[str, Any], device: torch.device) -> Any:
    """The output of a `ByFeatures` for a batch: by its features if it has any."""
    if FEATURES in batch:
        features = batch[FEATURES].to(device, non_blocking=True)
        return model(features, True, batch[AFTER_STAGE])
    return model(batch["image"].to(device, non_blocking=True))


def _own_images(batch: Mapping[str, Any]) -> list[str]:
    """The ids of the images that this process has."""
    ids, sizes = list(batch["image_id"]), batch.get(SHARD_SIZES)
    if sizes is None:
        return ids
    first = sum(sizes[: rank()])
    return ids[first : first + sizes[rank()]]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within; afterwards each module is in its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
