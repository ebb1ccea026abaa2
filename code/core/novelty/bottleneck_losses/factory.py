"""The terms of the loss that a bottleneck needs, and the whole loss of an autoencoder."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from core.errors import InputError
from core.novelty.bottleneck_losses.reconstruction import ReconstructionLoss
from core.novelty.bottleneck_losses.settings import AutoencoderLossSettings, check_loss_settings
from core.novelty.bottleneck_losses.terms import BottleneckLosses, ValueLoss
from core.novelty.bottlenecks import Bottleneck, get_registry

LossConfig = AutoencoderLossSettings | Mapping[str, Any] | None


class Term(NamedTuple):
    """A term of the loss: its key in the model's output, its default weight, its name."""

    key: str
    weight: float
    name: str


TERMS = {
    "kl": Term("kl", 1e-6, "kl_loss"),
    "quantizer": Term("quantizer_loss", 1.0, "quantizer_loss"),
    "codebook": Term("vq/codebook_loss", 1.0, "codebook_loss"),
    "commitment": Term("vq/commitment_loss", 0.25, "commitment_loss"),
    "mmd": Term("mmd", 100.0, "mmd_loss"),
}
"""By their keys in `bottleneck.weights`. Source: the defaults of stable-audio-tools"""


def create_loss_modules_from_bottleneck(
    bottleneck: Bottleneck, loss_config: LossConfig = None
) -> BottleneckLosses:
    """The terms that this bottleneck needs, with the weights of `loss_config`.

    Raises:
        InputError: what is given is no bottleneck, or declares no terms or unknown ones, or the
            config is wrong.
    """
    weights = check_loss_settings(loss_config).bottleneck.weights
    declared = bottleneck.losses if isinstance(bottleneck, Bottleneck) else None
    kind = type(bottleneck).__name__
    if declared is None:
        raise InputError(
            f"bottleneck {kind}: its loss is not known: expected one of "
            f"{', '.join(get_registry())}, or a Bottleneck with its terms in `losses`"
        )
    if unknown := [name for name in declared if name not in TERMS]:
        raise InputError(
            f"bottleneck {kind}: losses: {unknown[0]!r}: expected one of {', '.join(TERMS)}"
        )
    losses = []
    for name in declared:
        key, default, loss_name = TERMS[name]
        given = getattr(weights, name)
        losses.append(ValueLoss(key, default if given is None else given, loss_name))
    return BottleneckLosses(losses)


class AutoencoderLoss(nn.Module):
    """The reconstruction's loss plus the terms of the bottleneck."""

    def __init__(self, bottleneck: Bottleneck, loss_config: LossConfig = None) -> None:
        super().__init__()
        settings = check_loss_settings(loss_config)
        self.reconstruction = ReconstructionLoss(**settings.reconstruction.model_dump())
        self.bottleneck = create_loss_modules_from_bottleneck(bottleneck, settings)

    def forward(
        self, output: Mapping[str, Any], images: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, and each weighted term by its name. `images` are those that `output` is for,
        uint8 or in 0..1.
        """
        images = images if images.is_floating_point() else images.float() / 255
        reconstruction = self.reconstruction(output["reconstruction"], images)
        terms = {self.reconstruction.name: reconstruction, **self.bottleneck(output)}
        return sum(terms.values()), terms
