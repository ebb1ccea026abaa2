"""Less memory for more arithmetic: activations of stages computed again in the backward pass."""

from torch import nn

from core.errors import InputError
from core.models.attention.placement import attention_left_out
from core.models.stages import trial_images


def checkpoint_stages(
    backbone: nn.Module, attention: nn.ModuleDict, enable: bool, size: tuple[int, int] | None
) -> None:
    """Switch timm's gradient checkpointing; `size` is what the backbone insists on, if anything.

    Raises:
        InputError: a backbone without it, or one that then runs the blocks of a stage without
            the stage, and so past the attention behind it.
    """
    key = "training.gradient_checkpointing=true"
    try:
        backbone.set_grad_checkpointing(enable)
    except (AttributeError, AssertionError):
        raise InputError(f"{key}: this backbone cannot: use false, or another backbone") from None
    if left_out := attention_left_out(backbone, attention, trial_images(backbone, size)):
        backbone.set_grad_checkpointing(False)
        raise InputError(
            f"{key}: this backbone would then leave out its attention ({', '.join(left_out)}): "
            "use false, or model.cbam_stages=[]"
        )
