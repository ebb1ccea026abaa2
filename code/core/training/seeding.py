"""Every random number of a training comes from (seed, epoch), and from the process's number."""

import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from core.machine import distributed


def seed_everything(seed: int, epoch: int = 0, rank: int = 0) -> None:
    """Seed Python's, numpy's and torch's generators from (seed, epoch, rank).

    Done at the start of each epoch, so that an epoch's dropout does not depend on what was drawn
    before it, and a resumed training draws what the uninterrupted one drew. Processes that train
    together draw different numbers, the first of them those of a process alone.
    """
    key = (seed, epoch, rank) if rank else (seed, epoch)
    state = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed this process's generators for an epoch."""
    seed_everything(seed, epoch, distributed.rank())


def random_states(device: torch.device) -> list[dict[str, Any]]:
    """The state of all generators within an epoch, one of each process."""
    return distributed.gathered(_random_state(device))


def restore_random_state(states: Sequence[dict[str, Any]], device: torch.device) -> None:
    """Take up this process's generators where `random_states` found them.

    Among another number of processes they stay as they were seeded. A state that was taken on
    another kind of device leaves the generator of this one alone.
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


def _random_state(device: torch.device) -> dict[str, Any]:
    """In what a checkpoint may hold."""
    name, keys, *position = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *position),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_determinism(deterministic: bool) -> None:
    """Choose only algorithms that repeat; an operation without one warns and runs anyway."""
    if deterministic:
        # cuBLAS repeats only with a fixed workspace, and reads this at its first call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Filling memory that nothing reads before it is written costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
