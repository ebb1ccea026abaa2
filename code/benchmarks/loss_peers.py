"""Our losses, and the implementations of the same formulas in other libraries."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import Any

import torch

from core.losses.base import BaseLoss
from core.losses.factory import get_loss

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Parameters under which a loss has the formula of its peers.
OURS: dict[str, dict[str, Any]] = {
    "focal_loss": {"alpha": 0.25, "gamma": 2.0},
    "compound": {"components": [{"type": "dice"}, {"type": "focal", "alpha": 0.25}]},
}


@dataclass(frozen=True)
class Peer:
    """One other implementation, by where it is found; imported only when it is measured.

    `channel_of_targets`: class indices stand in a channel of their own.
    """

    formula: str
    library: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    channel_of_targets: bool = False

    def build(self) -> Call:
        """The callable. Raises ImportError where the library is absent."""
        if self.library in ("timm", "torchvision"):
            importlib.import_module("core.machine.torchvision_ops")
        module, _, attribute = self.path.rpartition(".")
        found = getattr(importlib.import_module(module), attribute)
        loss = found(**self.params) if isinstance(found, type) else partial(found, **self.params)
        if self.channel_of_targets:
            return lambda logits, targets: loss(logits, targets.unsqueeze(1))
        return loss


_OVERLAP = {"sigmoid": True, "batch": True, "smooth_nr": 1.0, "smooth_dr": 1.0}
# Our smoothing counts pixels of overlap, of which Dice has two.
_DICE = {**_OVERLAP, "smooth_nr": 2.0, "smooth_dr": 2.0}
_TVERSKY = {**_OVERLAP, "alpha": 0.3, "beta": 0.7}
_ASYMMETRIC = {"gamma_neg": 4, "gamma_pos": 1, "clip": 0.05, "reduction": "mean"}
_FOCAL = {"alpha": 0.25, "gamma": 2.0}
_FOCAL_MEAN = {**_FOCAL, "reduction": "mean"}
_SOFTMAX = {"gamma": 2.0, "use_softmax": True, "to_onehot_y": True}

PEERS = [
    Peer("bce_with_logits", "torch", "torch.nn.BCEWithLogitsLoss"),
    Peer("bce_with_logits", "timm", "timm.loss.BinaryCrossEntropy", {"smoothing": 0.0}),
    Peer("focal_loss", "torchvision", "torchvision.ops.sigmoid_focal_loss", _FOCAL_MEAN),
    Peer("focal_loss", "monai", "monai.losses.FocalLoss", _FOCAL),
    Peer("asymmetric_loss", "timm", "timm.loss.AsymmetricLossMultiLabel", _ASYMMETRIC),
    Peer("softmax_focal_loss", "monai", "monai.losses.FocalLoss", _SOFTMAX, True),
    Peer("tversky_loss", "monai", "monai.losses.TverskyLoss", _TVERSKY),
    Peer("dice_loss", "monai", "monai.losses.DiceLoss", _DICE),
    Peer("generalized_dice_loss", "monai", "monai.losses.GeneralizedDiceLoss", _OVERLAP),
]


def ours(name: str) -> BaseLoss:
    """Our loss of that name, with the parameters of its peers."""
    return get_loss({"type": name, **OURS.get(name, {})})


def installed_versions() -> dict[str, str | None]:
    """Version of each library among the peers; None where it is absent."""
    versions: dict[str, str | None] = {}
    for library in sorted({peer.library for peer in PEERS}):
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    return versions


def inputs(
    loss: BaseLoss, shape: tuple[int, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]] | None:
    """Logits, targets of 2 % positives, and further inputs; None for masks without pixels."""
    if loss.requires_masks and len(shape) < 3:
        return None
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator)
    if loss.index_targets:
        targets = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    else:
        targets = (torch.rand(shape, generator=generator) < 0.02).float()
    # What distance maps hold does not change the cost.
    maps = torch.rand(shape, generator=generator).to(device)
    extra = {"distance_maps": maps} if loss.uses_distance_maps else {}
    return logits.to(device), targets.to(device), extra
