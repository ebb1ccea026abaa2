"""The stages of a backbone: which there are, and where each of them ends."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import InputError

# A stage's map is at most a quarter of the image's size: what timm lists before (the output of
# the stem in ResNet, stride 2) is not a stage in the papers' count of 1 to 4.
FIRST_REDUCTION = 4

# Height and width that nearly every convolutional backbone of timm accepts.
TRIAL_SIZE = (96, 96)


@dataclass(frozen=True)
class Stage:
    """One stage, counted from 1 as in the papers.

    `index` is its place among timm's intermediate features, `module` its path in the backbone,
    `reduction` the image's size over the map's.
    """

    number: int
    index: int
    module: str
    channels: int
    reduction: int


def find_stages(backbone: nn.Module, name: str) -> tuple[Stage, ...]:
    """The stages, first to last. Raises InputError where timm lists no features for `name`."""
    features = list(getattr(backbone, "feature_info", None) or [])
    found = [(i, each) for i, each in enumerate(features) if each["reduction"] >= FIRST_REDUCTION]
    if not found or not hasattr(backbone, "forward_intermediates"):
        raise InputError(
            f"model: {name}: timm offers no stages of features for this network: "
            "choose another, such as resnet50 or convnext_tiny"
        )
    return tuple(
        Stage(number, index, each["module"], each["num_chs"], each["reduction"])
        for number, (index, each) in enumerate(found, start=1)
    )


def pick_stage(stages: Sequence[Stage], number: int, key: str) -> Stage:
    """Stage `number`. Raises InputError, naming `key`, if there is none."""
    if not 1 <= number <= len(stages):
        raise InputError(f"model: {key}: this backbone has the stages 1 to {len(stages)}")
    return stages[number - 1]


def stage_module(backbone: nn.Module, stage: Stage, key: str) -> nn.Module:
    """The module that ends `stage`. Raises InputError, naming `key`, if there is none."""
    try:
        return backbone.get_submodule(stage.module)
    except AttributeError:
        raise InputError(
            f"model: {key}: stage {stage.number} of this backbone is not a module of its own: "
            "choose another stage or backbone"
        ) from None


def trial_images(backbone: nn.Module, size: tuple[int, int] | None) -> Tensor:
    """One small black image, of the `size` that the backbone requires, if any."""
    first = next(backbone.parameters())
    return torch.zeros(1, 3, *(size or TRIAL_SIZE), dtype=first.dtype, device=first.device)
