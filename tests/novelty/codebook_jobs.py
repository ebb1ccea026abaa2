"""What two processes do with a bottleneck: train on their halves of batches, and keep the state."""

from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from core.machine import distributed
from core.novelty.bottleneck_losses import create_loss_modules_from_bottleneck
from core.novelty.bottlenecks import get_registry

STEPS, BATCHES_PER_STEP = 25, 2


def train(name: str, path: Path) -> None:
    """Train on this process's share of each batch; the first process writes the state.

    The negative features vanish half-way, so that codes fall out of use.
    """
    torch.manual_seed(0)
    options = {"codebook_size": 16, "num_quantizers": 2, "decay": 0.7}
    bottleneck = get_registry().get(name, channels=4, **options)
    losses = create_loss_modules_from_bottleneck(bottleneck)
    is_learned = any(True for _ in bottleneck.parameters())
    model: nn.Module = bottleneck
    if is_learned and distributed.size() > 1:
        model = DistributedDataParallel(bottleneck, broadcast_buffers=False)
    used = []
    for step in range(STEPS):
        for _ in range(BATCHES_PER_STEP):
            features = torch.randn(4, 4, 6, 6)
            if step > STEPS // 2:
                features = features.abs()
            mine = features.chunk(distributed.size())[distributed.rank()]
            output = model(mine)
            used.append(output["codes_used"])
            total = sum(losses(output).values()) + output["latent"].square().mean()
            if is_learned:
                (total / BATCHES_PER_STEP).backward()
        with torch.no_grad():
            for parameter in bottleneck.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
        bottleneck.after_optimizer_step()
    state = {**bottleneck.state_dict(), "codes_used": torch.stack(used)}
    for key, value in state.items():
        first, *others = distributed.gathered(value)
        assert all(torch.equal(first, other) for other in others), f"{name}: {key} differs"
    if distributed.is_first():
        torch.save(state, path)


def jobs(names: list[str], folder: Path) -> list[partial]:
    return [partial(train, name, folder / f"{name}.pt") for name in names]
