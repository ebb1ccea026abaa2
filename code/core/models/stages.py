"""The stages of a backbone: which they are, and freezing up to one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import InputError

# A stage's map is at most a quarter of the image's size: what timm lists before (the output of
# the stem in ResNet, stride 2) is no stage in the papers' count of 1 to 4.
FIRST_REDUCTION = 4

# Height and width that every convolutional backbone of timm takes, up to a few that want 256
# (Inception needs 75).
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
    stages = [
        (index, entry)
        for index, entry in enumerate(features)
        if entry["reduction"] >= FIRST_REDUCTION
    ]
    if not stages or not hasattr(backbone, "forward_intermediates"):
        raise InputError(
            f"model: {name}: timm offers no stages of features for this network: "
            "choose another, such as resnet50 or convnext_tiny"
        )
    return tuple(
        Stage(number, index, entry["module"], entry["num_chs"], entry["reduction"])
        for number, (index, entry) in enumerate(stages, start=1)
    )


def pick_stage(stages: Sequence[Stage], number: int, key: str) -> Stage:
    """Stage `number`. Raises InputError, naming `key`, where there is none."""
    if not 1 <= number <= len(stages):
        raise InputError(f"model: {key}: this backbone has the stages 1 to {len(stages)}")
    return stages[number - 1]


def stage_module(backbone: nn.Module, stage: Stage, key: str) -> nn.Module:
    """The module that ends `stage`. Raises InputError, naming `key`, where there is none."""
    try:
        return backbone.get_submodule(stage.module)
    except AttributeError:
        raise InputError(
            f"model: {key}: stage {stage.number} of this backbone is no module of its own: "
            "choose another stage or backbone"
        ) from None


def trial_images(backbone: nn.Module, size: tuple[int, int] | None) -> Tensor:
    """One small black image, of `size` where the backbone insists on one."""
    first = next(backbone.parameters())
    return torch.zeros(1, 3, *(size or TRIAL_SIZE), dtype=first.dtype, device=first.device)


def freeze_up_to(
    backbone: nn.Module, stages: Sequence[Stage], number: int, size: tuple[int, int] | None
) -> None:
    """Freeze the stem and the first `number` stages; 0 freezes nothing.

    timm registers modules in the order in which they run, with few exceptions: whatever stands
    before the end of the stage belongs to it, to a stage before, or to the stem.

    Raises:
        InputError: no such stage, or the backbone is one of the exceptions.
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
    training = [features.requires_grad for features in _trial_features(backbone, stages, size)]
    if training != [False] * number + [True] * (len(stages) - number):
        raise InputError(
            f"model: {key}: the stages of this backbone do not run one after another: "
            "give model.freeze_stages=0, or choose another backbone"
        )


@torch.enable_grad()
def _trial_features(
    backbone: nn.Module, stages: Sequence[Stage], size: tuple[int, int] | None
) -> list[Tensor]:
    was_training = backbone.training
    features = backbone.eval().forward_intermediates(
        trial_images(backbone, size),
        indices=[stage.index for stage in stages],
        intermediates_only=True,
    )
    backbone.train(was_training)
    return features
