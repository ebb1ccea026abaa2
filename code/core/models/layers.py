"""The layers of a model from its stem up, for learning rates that fall towards the stem."""

from collections.abc import Callable

from timm.models import group_parameters
from torch import nn

_BACKBONE = "backbone."


def layer_of_parameter(model: nn.Module, coarse: bool) -> Callable[[str], float]:
    """The number of the layer by a parameter's name, as timm counts the layers of its networks.

    Attention after a stage counts to the last layer of the stage. `model` has `backbone`,
    `stages`, and attention under `attention.stage1`, `attention.stage2`, ...
    """
    matcher = model.backbone.group_matcher(coarse=coarse)
    layers = group_parameters(model.backbone, matcher, reverse=True)
    last_of_stage = {
        f"attention.stage{stage.number}.": max(
            (layer for name, layer in layers.items() if name.startswith(f"{stage.module}.")),
            default=max(layers.values()),
        )
        for stage in model.stages
    }

    def layer_of(name: str) -> float:
        if name.startswith(_BACKBONE):
            return layers[name.removeprefix(_BACKBONE)]
        found = [last for prefix, last in last_of_stage.items() if name.startswith(prefix)]
        return found[0] if found else max(layers.values())

    return layer_of
