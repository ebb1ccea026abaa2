"""Attention after the stages of a backbone, which need not be written for it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InputError
from core.models.cbam import CBAM
from core.models.stages import Stage, pick_stage, stage_module, trial_images


class AfterStage:
    """A forward hook that passes a stage's feature map through its CBAM.

    An object, not a closure: a copied or pickled model takes the copy's own CBAM along. A hook,
    not a wrapper: the backbone's modules keep timm's names, and so its checkpoints' keys.
    """

    def __init__(self, cbam: CBAM, stage: Stage, channels_last: bool) -> None:
        self.cbam = cbam
        self.stage = stage
        self.channels_last = channels_last

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        position = 3 if self.channels_last else 1
        is_map = isinstance(output, Tensor) and output.dim() == 4
        if not is_map or output.shape[position] != self.stage.channels:
            raise InputError(
                f"model: cbam_stages: the output of stage {self.stage.number} of this backbone is "
                "not a feature map: give model.cbam_stages=[], or choose a convolutional backbone"
            )
        if self.channels_last:
            return self.cbam(output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.cbam(output)


def attach_cbam(
    backbone: nn.Module,
    stages: Sequence[Stage],
    numbers: Sequence[int],
    size: tuple[int, int] | None,
    **options: int,
) -> nn.ModuleDict:
    """Put a CBAM after each stage in `numbers`, and return them as `stage1`, `stage2`, ...

    `size` is the height and width that the backbone requires, if any; `options` are CBAM's. Raises
    InputError where the backbone has no such stage, or its output is not a feature map.
    """
    attention = nn.ModuleDict()
    key = f"cbam_stages={list(numbers)}"
    if len(set(numbers)) < len(numbers):
        raise InputError(f"model: {key}: name each stage once")
    layout = getattr(backbone, "output_fmt", "NCHW")
    channels_last = getattr(layout, "value", layout) == "NHWC"
    for number in sorted(numbers):
        stage = pick_stage(stages, number, key)
        cbam = CBAM(stage.channels, **options)
        hook = AfterStage(cbam, stage, channels_last)
        stage_module(backbone, stage, key).register_forward_hook(hook)
        attention[f"stage{number}"] = cbam
    for name in attention_left_out(backbone, attention, size):
        raise InputError(
            f"model: cbam_stages: {name} of this backbone does not run as a module of its own: "
            "choose other stages or another backbone"
        )
    return attention


@torch.no_grad()
def attention_left_out(
    backbone: nn.Module, attention: nn.ModuleDict, size: tuple[int, int] | None
) -> list[str]:
    """Names of the attention that an image does not pass on its way through the backbone."""
    if not attention:
        return []
    reached = []
    handles = [
        cbam.register_forward_hook(lambda module, inputs, output: reached.append(module))
        for cbam in attention.values()
    ]
    was_training = backbone.training
    backbone.eval()(trial_images(backbone, size))
    backbone.train(was_training)
    for handle in handles:
        handle.remove()
    return [name for name, cbam in attention.items() if cbam not in reached]
