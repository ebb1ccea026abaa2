"""Who is measured: each of our losses, and what other libraries have of the same formula."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import torch

from core.losses.base import BaseLoss
from core.losses.factory import get_loss

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

OURS: dict[str, dict[str, Any]] = {
    "bce_with_logits": {},
    "focal_loss": {"alpha": 0.25, "gamma": 2.0},
    "asymmetric_loss": {},
    "softmax_focal_loss": {},
    "tversky_loss": {},
    "dice_loss": {},
    "generalized_dice_loss": {},
    "boundary_loss": {},
    "compound": {"components": [{"type": "dice"}, {"type": "focal", "alpha": 0.25}]},
}
"""Parameters under which a loss has the formula of its peers."""


@dataclass(frozen=True)
class Peer:
    """One other implementation, by where it is found; imported only when it is measured."""

    formula: str
    library: str
    module: str
    attribute: str
    params: dict[str, Any] = field(default_factory=dict)
    is_function: bool = False
    channel_of_targets: bool = False
    """Whether class indices stand in a channel of their own."""

    def build(self) -> Call:
        """The callable. Raises ImportError where the library is absent."""
        if self.library in ("timm", "torchvision"):
            importlib.import_module("core.machine.torchvision_ops")
        found = getattr(importlib.import_module(self.module), self.attribute)
        if self.is_function:
            return lambda logits, targets: found(logits, targets, **self.params)
        loss = found(**self.params)
        if self.channel_of_targets:
            return lambda logits, targets: loss(logits, targets.unsqueeze(1))
        return loss


_OVERLAP = {"sigmoid": True, "batch": True, "smooth_nr": 1.0, "smooth_dr": 1.0}
# Our smoothing counts pixels of overlap, of which Dice has two.
_DICE = {**_OVERLAP, "smooth_nr": 2.0, "smooth_dr": 2.0}
_ASYMMETRIC = {"gamma_neg": 4, "gamma_pos": 1, "clip": 0.05, "reduction": "mean"}
_FOCAL = {"alpha": 0.25, "gamma": 2.0}
_SOFTMAX = {"gamma": 2.0, "use_softmax": True, "to_onehot_y": True}

PEERS = [
    Peer("bce_with_logits", "torch", "torch.nn", "BCEWithLogitsLoss"),
    Peer("bce_with_logits", "timm", "timm.loss", "BinaryCrossEntropy", {"smoothing": 0.0}),
    Peer(
        "focal_loss",
        "torchvision",
        "torchvision.ops",
        "sigmoid_focal_loss",
        {**_FOCAL, "reduction": "mean"},
        is_function=True,
    ),
    Peer("focal_loss", "monai", "monai.losses", "FocalLoss", _FOCAL),
    Peer("asymmetric_loss", "timm", "timm.loss", "AsymmetricLossMultiLabel", _ASYMMETRIC),
    Peer(
        "softmax_focal_loss",
        "monai",
        "monai.losses",
        "FocalLoss",
        _SOFTMAX,
        channel_of_targets=True,
    ),
    Peer(
        "tversky_loss",
        "monai",
        "monai.losses",
        "TverskyLoss",
        {**_OVERLAP, "alpha": 0.3, "beta": 0.7},
    ),
    Peer("dice_loss", "monai", "monai.losses", "DiceLoss", _DICE),
    Peer("generalized_dice_loss", "monai", "monai.losses", "GeneralizedDiceLoss", _OVERLAP),
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
    loss: BaseLoss, shape: tuple[int, ...], device: str
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]] | None:
    """Logits, targets of 2 % positives, and further inputs; None if the shape is not for it."""
    if loss.requires_masks and len(shape) < 3:
        return None
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator)
    if loss.index_targets:
        targets = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    else:
        targets = (torch.rand(shape, generator=generator) < 0.02).float()
    extra = {}
    if loss.uses_distance_maps:
        # As the loader hands them over: what they hold does not change the cost.
        extra["distance_maps"] = torch.rand(shape, generator=generator).to(device)
    return logits.to(device), targets.to(device), extra
