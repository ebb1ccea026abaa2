"""What classification minimises: the loss of the image labels, plus that of the masks if any."""

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.machine.distributed import GatheredRows, gathered_rows
from core.metrics.scaling import Scaling
from core.training.frozen_features import SHARD_SIZES
from core.training.task import Batch

Output = Tensor | Mapping[str, Tensor]


def logits_of(output: Output) -> Tensor:
    """The logits of a model's output: the output itself, or its entry `logits`."""
    return output["logits"] if isinstance(output, Mapping) else output


def _constants(loss: nn.Module) -> bytes | None:
    """All that a loss holds, to notice a change of any kind; None if it cannot be pickled."""
    try:
        return pickle.dumps(loss)
    except (AttributeError, TypeError, pickle.PicklingError):
        return None


class Objective(nn.Module):
    """Loss of the image labels + `mask_weight` x loss of the masks.

    Images without known masks count in the first term only. Losses are computed in float32 or
    better, whatever the precision of the logits.

    Shape: a batch holds `labels` (batch, C). With a mask loss it also holds `mask_targets` (batch,
    C, *size of the mask logits), `has_masks` (batch,) and, if the loss uses them, `distance_maps`.
    """

    def __init__(
        self, image_loss: nn.Module, mask_loss: nn.Module | None = None, mask_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.image_loss = image_loss
        self.mask_loss = mask_loss
        self.mask_weight = mask_weight
        self._sums: Tensor | None = None
        self._num_images = [0, 0]
        self._undone: tuple[bytes | None, int] | None = None
        self._undoing: tuple[list[float], list[float]] | None = None

    def forward(self, output: Output, batch: Batch) -> Tensor:
        logits = logits_of(output).float()
        image_term = self.image_loss(logits, batch["labels"].to(logits.device, non_blocking=True))
        if self.mask_loss is None:
            return image_term
        known = torch.as_tensor(batch["has_masks"]).cpu().nonzero().flatten()
        mask_term = self._mask_term(output["mask_logits"].float(), batch, known)
        if self.training:
            self._remember(torch.stack([image_term, mask_term]), [len(logits), len(known)])
        return image_term + self.mask_weight * mask_term

    @property
    def name(self) -> str:
        """The class name of the loss of the image labels."""
        return type(self.image_loss).__name__

    @property
    def sums_over_images(self) -> bool | None:
        """Whether the loss of a batch is a sum over its images; None: only a part of it is."""
        kinds = {
            getattr(loss, "sums_over_images", getattr(loss, "reduction", "mean") == "sum")
            for loss in self._losses()
        }
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def weights_change(self) -> bool:
        """Whether the weights of a compound loss differ from epoch to epoch."""
        parts = [module for loss in self._losses() for module in loss.modules()]
        return any(getattr(module, "weights_change", False) for module in parts)

    @property
    def weighs_nothing(self) -> bool:
        """Whether every loss is a compound one whose components all have the weight 0 now."""
        return not any(any(loss.get_weights().values() or [1]) for loss in self._losses())

    def set_epoch(self, epoch: int) -> None:
        """Tell the losses the epoch, counted from 0."""
        self._sums, self._num_images = None, [0, 0]
        for loss in self._losses():
            loss.set_epoch(epoch)

    def terms(self) -> dict[str, dict[str, float]]:
        """`raw`, `weighted` and `weight` of each term: means since `set_epoch` over the training
        images, for masks over the images with known masks. The components of a compound loss are
        named after their term and themselves.
        """
        if self.mask_loss is None:
            return self.image_loss.terms()
        terms = {}
        if self._sums is not None:
            weights = {"image_labels": 1.0, "masks": self.mask_weight}.items()
            totals = zip(weights, self._sums.tolist(), self._num_images, strict=True)
            for (name, weight), total, number in totals:
                mean = total / max(1, number)
                terms[name] = {"raw": mean, "weighted": weight * mean, "weight": weight}
        for term, loss in (("image_labels", self.image_loss), ("masks", self.mask_loss)):
            terms |= {f"{term}/{name}": values for name, values in loss.terms().items()}
        return terms

    def epoch_state(self) -> dict[str, Any]:
        """What a checkpoint within an epoch needs in addition to the state_dict."""
        return {
            "sums": self._sums,
            "num_images": self._num_images,
            "losses": [loss.epoch_state() for loss in self._losses()],
        }

    def restore_epoch_state(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue within an epoch; call it after `set_epoch`, which begins one."""
        self._sums = None if state["sums"] is None else state["sums"].to(device)
        self._num_images = state["num_images"]
        for loss, of_loss in zip(self._losses(), state["losses"], strict=True):
            loss.restore_epoch_state(of_loss)

    def get_weights(self) -> dict[str, float]:
        """The current weight of each component of a compound loss."""
        weights = self.image_loss.get_weights()
        if self.mask_loss is not None:
            weights |= {f"masks/{k}": w for k, w in self.mask_loss.get_weights().items()}
        return weights

    def undoing(self, num_classes: int) -> Scaling | None:
        """The scaling that undoes how the loss of the image labels moves probabilities.

        It is computed again only where the loss has changed since the last call: it takes longer
        than all figures of an epoch.
        """
        find = getattr(self.image_loss, "posterior_scaling", None)
        if find is None:
            return None
        constants = _constants(self.image_loss), num_classes
        if constants[0] is None or constants != self._undone:
            self._undone, self._undoing = constants, find(num_classes)
        return None if self._undoing is None else Scaling(*map(np.array, self._undoing))

    def record(self) -> dict[str, Any]:
        """Sections of results.json that describe the losses, with resolved values."""
        image = self.image_loss.get_params()
        sections: dict[str, Any] = {"loss": {"type": image["type"], "params": image}}
        if self.mask_loss is not None:
            mask = self.mask_loss.get_params()
            sections["mask_loss"] = {"type": mask["type"], "weight": self.mask_weight}
            sections["mask_loss"]["params"] = mask
        return sections

    def _mask_term(self, mask_logits: Tensor, batch: Batch, known: Tensor) -> Tensor:
        # `known` was chosen on the CPU, where the batch is, to avoid waiting for the device.
        if len(known) == 0:
            # Still part of the graph, so that every parameter gets a gradient.
            return mask_logits.sum() * 0.0
        rows = known.to(mask_logits.device, non_blocking=True)
        names = ["mask_targets"]
        if self.mask_loss.uses_distance_maps:
            names.append("distance_maps")
        moved = {name: batch[name].to(mask_logits.device, non_blocking=True) for name in names}
        if len(known) < len(mask_logits):
            mask_logits = mask_logits[rows]
            moved = {name: values[rows] for name, values in moved.items()}
        return self.mask_loss(mask_logits, moved.pop("mask_targets"), **moved)

    def _losses(self) -> list[nn.Module]:
        return [loss for loss in (self.image_loss, self.mask_loss) if loss is not None]

    def whole_batch(self, output: Output, batch: Batch) -> tuple[Output, Batch]:
        """Output and targets for all images of a batch that several processes share.

        Each process runs the model on its own images and computes the loss of all images: the
        outputs of the others, a few numbers per image, are gathered and enter as constants. So
        every loss, term and learned weight equals that of a single process, even for a loss that is
        not a mean over images. A batch that is not shared is returned unchanged.
        """
        sizes = batch.get(SHARD_SIZES)
        if sizes is None:
            return output, batch
        logits = logits_of(output).float()
        targets = {"labels": batch["labels"].to(logits.device)}
        outputs = {"logits": logits}
        if self.mask_loss is not None:
            outputs["mask_logits"] = output["mask_logits"].float()
            names = [name for name in ("mask_targets", "distance_maps") if name in batch]
            targets |= {name: batch[name].to(logits.device) for name in names}
            # On the CPU, where the objective reads them without waiting for the device.
            targets["has_masks"] = torch.as_tensor(batch["has_masks"]).to(torch.uint8)
        whole = {name: GatheredRows.apply(rows, sizes) for name, rows in outputs.items()}
        return whole, {**batch, **{key: gathered_rows(r, sizes) for key, r in targets.items()}}

    @torch.no_grad()
    def _remember(self, values: Tensor, num_images: Sequence[int]) -> None:
        total = values.detach() * torch.tensor(num_images).to(values)
        self._sums = total if self._sums is None else self._sums + total
        self._num_images = [a + b for a, b in zip(self._num_images, num_images, strict=True)]
