"""All random numbers of a training follow from (seed, epoch) and the rank of the process."""

import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from core.machine import distributed


def seed_everything(seed: int, epoch: int = 0, rank: int = 0) -> None:
    """Seed Python's, numpy's and torch's generators from (seed, epoch, rank).

    Called at the start of each epoch, so that its dropout does not depend on earlier draws, and a
    resumed training draws the same numbers as one that was not interrupted. Processes that train
    together draw different numbers; the first draws those of a single process.
    """
    key = (seed, epoch, rank) if rank else (seed, epoch)
    state = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)


def random_states(device: torch.device) -> list[dict[str, Any]]:
    """The state of each process's generators within an epoch, in types for a checkpoint."""
    name, keys, *position = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *position),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return distributed.gathered(state)


def restore_random_state(states: Sequence[dict[str, Any]], device: torch.device) -> None:
    """Restore this process's generators to what `random_states` returned.

    With another number of processes they stay as they were seeded; on another kind of device, the
    device's own does.
    """
    if len(states) != distributed.size():
        return
    state = states[distributed.rank()]
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def set_determinism(deterministic: bool) -> None:
    """Use only deterministic algorithms; an operation that has none warns and runs anyway."""
    if deterministic:
        # cuBLAS is deterministic only with a fixed workspace, and reads this at its first call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Filling memory that is written before it is read costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
