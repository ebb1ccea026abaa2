"""How a backbone trains: what is frozen, what learns slower, what is computed twice."""

from collections.abc import Callable, Sequence

import torch
from timm.models import group_parameters
from torch import nn

from core.errors import InputError
from core.models.cbam import attention_left_out
from core.models.stages import Stage, pick_stage, stage_module, trial_images


@torch.enable_grad()
def freeze_up_to(
    backbone: nn.Module, stages: Sequence[Stage], number: int, size: tuple[int, int] | None
) -> None:
    """Freeze the stem and the first `number` stages; 0 freezes nothing.

    timm registers modules in the order in which they run, with few exceptions: everything before
    the end of the stage belongs to it, to an earlier stage, or to the stem. Raises InputError where
    there is no such stage, or the backbone is one of the exceptions.
    """
    if number == 0:
        return
    key = f"freeze_stages={number}"
    stage = pick_stage(stages, number, key)
    last = list(stage_module(backbone, stage, key).modules())[-1]
    for module in backbone.modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if module is last:
            break
    was_training = backbone.training
    indices = [stage.index for stage in stages]
    features = backbone.eval().forward_intermediates(
        trial_images(backbone, size), indices=indices, intermediates_only=True
    )
    backbone.train(was_training)
    if [each.requires_grad for each in features] != [stage.number > number for stage in stages]:
        raise InputError(
            f"model: {key}: the stages of this backbone do not run one after another: "
            "give model.freeze_stages=0, or choose another backbone"
        )


def layer_of_parameter(model: nn.Module, coarse: bool) -> Callable[[str], float]:
    """The number of a parameter's layer, from the stem up, as timm counts the layers.

    Attention after a stage belongs to the last layer of the stage. `model` has `backbone`,
    `stages`, and attention under `attention.stage1`, `attention.stage2`, ...
    """
    matcher = model.backbone.group_matcher(coarse=coarse)
    layers = group_parameters(model.backbone, matcher, reverse=True)
    highest = max(layers.values())

    def last_within(prefix: str) -> float:
        inside = [layer for name, layer in layers.items() if name.startswith(prefix)]
        return max(inside, default=highest)

    last_of_stage = {f"stage{s.number}": last_within(f"{s.module}.") for s in model.stages}

    def layer_of(name: str) -> float:
        owner, _, inner = name.partition(".")
        if owner == "backbone":
            return layers[inner]
        stage = inner.partition(".")[0] if owner == "attention" else ""
        return last_of_stage.get(stage, highest)

    return layer_of


def checkpoint_stages(
    backbone: nn.Module, attention: nn.ModuleDict, enable: bool, size: tuple[int, int] | None
) -> None:
    """Switch timm's gradient checkpointing; `size` is what the backbone requires, if anything.

    Raises InputError where it has no such switch, or would then skip attention, because it runs the
    blocks of a stage without the stage.
    """
    key = "training.gradient_checkpointing=true"
    try:
        backbone.set_grad_checkpointing(enable)
    except (AttributeError, AssertionError):
        raise InputError(f"{key}: not offered by this backbone: use false or another") from None
    if left_out := attention_left_out(backbone, attention, size):
        backbone.set_grad_checkpointing(False)
        raise InputError(
            f"{key}: this backbone would then leave out its attention ({', '.join(left_out)}): "
            "use false, or model.cbam_stages=[]"
        )
