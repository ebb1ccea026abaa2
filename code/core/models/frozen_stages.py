"""A backbone whose first stages are frozen: the map that they end in, and going on from it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from core.models.stages import Stage

# Modules that do not compute the same in each epoch, unless they are in evaluation mode.
_CHANGING = (_BatchNorm, _DropoutNd, DropPath)


def still_modules(backbone: nn.Module) -> list[nn.Module]:
    """What is kept in evaluation mode: the modules whose parameters are all frozen.

    So is what has none, such as dropout, and runs before the last of these and all that trains, as
    far as the order in which timm registers modules tells.
    """
    modules = list(backbone.modules())
    own = [[p.requires_grad for p in module.parameters(recurse=False)] for module in modules]
    first_trained = next((i for i, trained in enumerate(own) if any(trained)), len(own))
    last_frozen = max((i for i in range(first_trained) if own[i]), default=0)
    still = []
    for place, module in enumerate(modules):
        trained = [parameter.requires_grad for parameter in module.parameters()]
        if not any(trained) and (trained or place < last_frozen):
            still.append(module)
    return still


class _ReachedError(Exception):
    """Carries the map of a stage out of the forward pass that it ends."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


def last_frozen_stage(
    backbone: nn.Module, stages: Sequence[Stage], with_attention: Sequence[int]
) -> Stage | None:
    """The last stage up to whose end everything is frozen, its statistics included.

    Attention in `with_attention`, which trains, follows these stages: it may follow the stage that
    is returned, but none before.
    """
    still = set(still_modules(backbone))
    for stage in reversed(stages):
        modules = _up_to(backbone, stage)
        comes_first = min(with_attention, default=stage.number) >= stage.number
        if comes_first and modules and all(_stays(each, still) for each in modules):
            return stage
    return None


def features_after(backbone: nn.Module, stage: Stage, images: Tensor) -> Tensor | None:
    """The map that the stage ends in, before attention; what follows is not computed.

    None where blocks run without their stage, as with gradient checkpointing in some networks.
    """
    module = backbone.get_submodule(stage.module)
    forward = module.forward

    def end(*inputs: Any, **options: Any) -> None:
        raise _ReachedError(forward(*inputs, **options))

    try:
        with _forwarding([module], end):
            backbone.forward_features(images)
    except _ReachedError as reached:
        return reached.features
    return None


def output_from(backbone: nn.Module, stage: Stage, features: Tensor) -> Tensor:
    """The backbone's output for images with these `features_after` the stage."""
    with _forwarding(_up_to(backbone, stage), lambda features, *_, **__: features):
        return backbone(features)


def goes_on_from(backbone: nn.Module, stage: Stage, features: Tensor, images: Tensor) -> bool:
    """Whether the output from the features is that for the images, to the last bit.

    It is not where more happens between the modules than one running after another.
    """
    try:
        return torch.equal(output_from(backbone, stage, features), backbone(images))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, AttributeError):
        return False


def _up_to(backbone: nn.Module, stage: Stage) -> list[nn.Module]:
    """The modules that are over at the end of the stage, the largest only, in their order."""
    found, parent = [], backbone
    for name in stage.module.split("."):
        names = [each for each, _ in parent.named_children()]
        if name not in names:
            return []
        children = list(parent.children())
        found += children[: names.index(name)]
        parent = children[names.index(name)]
    return [*found, parent]


def _stays(module: nn.Module, still: Collection[nn.Module]) -> bool:
    """Whether it computes the same in each epoch; what is `still` does, with all that is in it."""
    if module in still or any(True for _ in module.parameters()):
        return module in still
    return not any(isinstance(each, _CHANGING) for each in module.modules())


@contextmanager
def _forwarding(modules: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Within, `forward` is that of the modules; their hooks still run after it."""
    own = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.forward = forward
    try:
        yield
    finally:
        for module, before in zip(modules, own, strict=True):
            del module.forward
            if before is not None:
                module.forward = before
