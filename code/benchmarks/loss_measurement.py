"""Time and peak memory of forward and backward."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.profiler import ProfilerActivity, profile

Step = Callable[[torch.Tensor], torch.Tensor]


def median_seconds(
    steps: dict[str, Step], logits: torch.Tensor, budget_seconds: float
) -> dict[str, float]:
    """Median seconds of forward and backward for each step, measured in turn.

    Turns, so that a busy moment of the machine hits all alike; small inputs are repeated within
    a turn until the clock's resolution does not matter.
    """
    for step in steps.values():
        _forward_backward(step, logits)
    longest = max(_seconds(step, logits, 1) for step in steps.values())
    repeats = max(1, int(0.001 / longest))
    turns = int(min(max(budget_seconds / (longest * repeats * len(steps)), 5), 500))
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(turns):
        for name, step in steps.items():
            samples[name].append(_seconds(step, logits, repeats))
    return {name: statistics.median(values) for name, values in samples.items()}


def peak_bytes(step: Step, logits: torch.Tensor) -> int:
    """Most memory held at once by forward and backward, beyond what there was before."""
    leaf = _leaf(logits)
    if logits.is_cuda:
        _wait(logits)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(leaf).backward()
        return torch.cuda.max_memory_allocated() - before
    activities = [ProfilerActivity.CPU]
    with _quiet(), profile(activities=activities, profile_memory=True) as recorder:
        step(leaf).backward()
    events = [e for e in recorder.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest


def _leaf(logits: torch.Tensor) -> torch.Tensor:
    return logits.detach().clone().requires_grad_()


def _forward_backward(step: Step, logits: torch.Tensor) -> None:
    step(_leaf(logits)).backward()


def _seconds(step: Step, logits: torch.Tensor, repeats: int) -> float:
    leaves = [_leaf(logits) for _ in range(repeats)]
    _wait(logits)
    start = time.perf_counter()
    for leaf in leaves:
        step(leaf).backward()
    _wait(logits)
    return (time.perf_counter() - start) / repeats


def _wait(logits: torch.Tensor) -> None:
    """Until the device has done what was asked of it."""
    if logits.is_cuda:
        torch.cuda.synchronize()


@contextmanager
def _quiet() -> Iterator[None]:
    """Some builds of torch's profiler log each start and stop to the error stream."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
