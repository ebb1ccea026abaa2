"""How the tests build each registered loss, and data that fit it."""

import torch

from core.losses import BaseLoss, get_registry

NAMES = get_registry().list_losses()
COUNTS, TOTAL = [897, 247, 5150, 801], 12568
SHAPES = [(2, 4), (2, 4, 8, 10), (2, 4, 4, 6, 5)]
REQUIRED_PARAMS: dict[str, dict] = {
    "compound": {
        "components": [
            {"type": "dice", "weight": 0.5},
            {"type": "focal", "weight": 0.3, "alpha": 0.25, "gamma": 2.0},
            {"type": "boundary", "weight": 0.2},
        ],
        "learnable_weights": True,
    }
}
"""Parameters of the losses that have no defaults for all of theirs."""


def build(name: str, **params) -> BaseLoss:
    loss = get_registry().instantiate(name, **{**REQUIRED_PARAMS.get(name, {}), **params})
    loss.set_class_statistics(COUNTS, TOTAL, "train_split")
    return loss


def shapes(name: str) -> list[tuple[int, ...]]:
    return [shape for shape in SHAPES if len(shape) > 2 or not build(name).requires_masks]


def example(name: str, shape: tuple[int, ...], seed: int = 0, dtype=torch.float32):
    """Logits, and targets of the kind that the loss takes."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    if get_registry().get(name).index_targets:
        spatial = (shape[0], *shape[2:])
        return logits, torch.randint(shape[1], spatial, generator=generator)
    return logits, torch.randint(2, shape, generator=generator).to(dtype)


def confident(name: str, targets: torch.Tensor, shape: tuple[int, ...], size: float):
    """Logits of that size, all on the side of the targets."""
    if get_registry().get(name).index_targets:
        one_hot = torch.nn.functional.one_hot(targets, shape[1]).movedim(-1, 1)
        return size * one_hot.float()
    return size * (2 * targets.float() - 1)
