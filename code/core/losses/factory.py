"""A loss from a plain dict or a config node."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InputError
from core.losses.base import BaseLoss
from core.losses.registry import get_registry
from core.registry import UnknownComponentError
from core.validation import nearest

ALIASES = {
    "asl": "asymmetric_loss",
    "asymmetric": "asymmetric_loss",
    "bce": "bce_with_logits",
    "boundary": "boundary_loss",
    "dice": "dice_loss",
    "focal": "focal_loss",
    "generalized_dice": "generalized_dice_loss",
    "softmax_focal": "softmax_focal_loss",
    "tversky": "tversky_loss",
}
"""Short names, for `get_loss` and for the components of a compound."""

RENAMED = {"smoothing": "smooth"}
"""Parameters that recorded experiments have under another name."""


def get_loss(config: Mapping[str, Any], *, masks: bool | None = None) -> BaseLoss:
    """Build the loss that `config` describes: its `type`, and the parameters of that type.

    `get_params()` returns such a description. `masks` says whether the targets will have spatial
    axes; None: not known yet.

    Raises:
        InputError: a missing or unknown type, an unknown parameter, a value out of bounds, or a
            loss that needs masks where there are none.
    """
    if not isinstance(config, Mapping):
        raise InputError(f"loss: {config!r}: expected a mapping such as {{'type': 'focal_loss'}}")
    registry = get_registry()
    params = plain(config)
    if not isinstance(params.get("type"), str):
        known = ", ".join(registry.list_losses())
        raise InputError(f"loss: {params}: type is missing: give type=NAME, one of {known}")
    given = params.pop("type")
    name = resolve_name(given)
    if name not in registry:
        known = registry.list_losses()
        if problem := registry.why_missing(given):
            raise UnknownComponentError(f"loss: {problem}")
        raise UnknownComponentError(
            f"loss: unknown name {given!r}{nearest(given, [*known, *ALIASES])}; "
            f"known names: {', '.join(known)}; in short: {', '.join(ALIASES)}"
        )
    own = registry.parameters(name).model_fields
    for old, new in RENAMED.items():
        if old in params and old not in own and new in own:
            params[new] = params.pop(old)
    recorded = [*(f"{key}_source" for key in own), *registry.get(name).recorded]
    record = {key: params.pop(key) for key in recorded if key in params}
    loss = registry.instantiate(name, **params)
    loss.restore_record(record)
    if masks is False and loss.requires_masks:
        names = ", ".join(loss.names_needing_masks())
        raise InputError(
            f"loss {name}: {names} needs masks, but gets image labels: choose it as "
            "mask_loss.type, which supervision=masks trains with, or choose another loss"
        )
    return loss


def loss_for_training(config: Mapping[str, Any], key: str, *, masks: bool) -> BaseLoss:
    """`get_loss`, for a loss that a model with one logit for each class is trained by.

    `key` is where the config stands: `loss` or `mask_loss`.

    Raises:
        InputError: the loss is no scalar, or takes class indices or probabilities.
    """
    if config.get("reduction") == "none":
        raise InputError(f"{key}.reduction='none': a training minimises one number: use mean")
    loss = get_loss(config, masks=masks)
    if loss.index_targets:
        one = (
            "pixel, but masks of several classes may overlap"
            if masks
            else ("image, but a strip has none, one or several")
        )
        raise InputError(f"{key}.type={config['type']}: takes one class per {one}: use focal_loss")
    if not loss.from_logits:
        raise InputError(
            f"{key}.from_logits=false: a model gives logits, not probabilities: leave it true"
        )
    return loss


def resolve_name(name: str) -> str:
    """The registered name that a short name stands for; any other name unchanged."""
    return ALIASES.get(name, name)


def plain(value: Any) -> Any:
    """`value` in dicts and lists, whatever mappings, sequences or config nodes it holds."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value
