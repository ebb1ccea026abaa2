"""Every random number of a training comes from (seed, epoch)."""

import os
import random

import numpy as np
import torch


def seed_everything(seed: int, epoch: int = 0) -> None:
    """Seed Python's, numpy's and torch's generators from (seed, epoch).

    Done at the start of each epoch, so that an epoch's dropout does not depend on what was drawn
    before it, and a resumed training draws what the uninterrupted one drew.
    """
    state = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)


def set_determinism(deterministic: bool) -> None:
    """Choose only algorithms that repeat; an operation without one warns and runs anyway."""
    if deterministic:
        # cuBLAS repeats only with a fixed workspace, and reads this at its first call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Filling memory that nothing reads before it is written costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
