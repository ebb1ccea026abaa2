"""Settings of an autoencoder's loss."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from core.errors import InputError
from core.validation import Settings, validate

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ReconstructionSettings(Settings):
    """How the reconstruction is compared with the image."""

    type: Literal["l1", "l2", "ssim"] = "l1"
    weight: Weight = 1.0


class BottleneckWeights(Settings):
    """The weight of each term of a bottleneck; None: the default of that term."""

    kl: Weight | None = None
    quantizer: Weight | None = None
    codebook: Weight | None = None
    commitment: Weight | None = None
    mmd: Weight | None = None


class BottleneckLossSettings(Settings):
    """Weights of the terms; those of terms that a bottleneck does not have are ignored."""

    weights: BottleneckWeights = BottleneckWeights()


class AutoencoderLossSettings(Settings):
    """The loss of an autoencoder."""

    reconstruction: ReconstructionSettings = ReconstructionSettings()
    bottleneck: BottleneckLossSettings = BottleneckLossSettings()


def check_loss_settings(
    config: AutoencoderLossSettings | Mapping[str, Any] | None,
) -> AutoencoderLossSettings:
    """The settings that `config` describes; None: the defaults.

    Raises:
        InputError: an unknown key, a weight that is negative or not finite, or an adversarial loss.
    """
    if isinstance(config, AutoencoderLossSettings):
        return config
    values = {} if config is None else config
    if not isinstance(values, Mapping):
        raise InputError(f"loss: {config!r}: expected a mapping such as {{'bottleneck': {{}}}}")
    if "adversarial" in values:
        raise InputError(
            f"loss: adversarial={values['adversarial']!r}: adversarial losses are not offered: "
            "leave this key out"
        )
    return validate(AutoencoderLossSettings, dict(values), "loss")
