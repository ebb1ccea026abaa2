"""The head phase: the first epochs train the head alone, while the rest of the model is frozen.

A new head knows nothing, and its first gradients would distort the features that came with trained
weights. Once it fits them, all is trained.
Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution"; Howard and Gugger 2020, "fastai: A Layered API for Deep Learning"
"""

from torch import nn

from core.errors import InputError


def parameters_that_wait(model: nn.Module, head_epochs: int) -> list[nn.Parameter]:
    """What is frozen during the head phase, in addition to what the model froze itself.

    Raises InputError where the model does not know its head, or trains nothing else anyway.
    """
    if not head_epochs:
        return []
    key = f"training.head_epochs={head_epochs}"
    if not hasattr(model, "head_parameters"):
        raise InputError(
            f"{key}: {type(model).__name__} has no head_parameters: use 0, or another model"
        )
    head = {id(parameter) for parameter in model.head_parameters()}
    waiting = [p for p in model.parameters() if p.requires_grad and id(p) not in head]
    if not waiting:
        raise InputError(
            f"{key}: the head trains alone anyway: use 0, or freeze less by model.freeze_backbone "
            "and model.freeze_stages"
        )
    return waiting


def keep_still(model: nn.Module) -> None:
    """Evaluation mode for every module whose parameters are all frozen.

    Its statistics do not move, and it drops nothing.
    """
    for module in model.modules():
        trained = [parameter.requires_grad for parameter in module.parameters()]
        if trained and not any(trained):
            module.eval()
