"""How long calls take, measured so that ways to do one job can be compared."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)
Call = Callable[[], object]


def seconds_in_turn(calls: Mapping[Name, Call], rounds: int) -> dict[Name, list[float]]:
    """The seconds of each call in each round.

    In each round every call takes its turn, so that whatever else the machine does affects all of
    them alike.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call))
    return seconds


def seconds_of(call: Call) -> float:
    """The seconds of one call, including the work that it leaves to the GPU."""
    _wait_for_gpu()
    started = time.perf_counter()
    call()
    _wait_for_gpu()
    return time.perf_counter() - started


def _wait_for_gpu() -> None:
    # Where nothing has used the GPU yet, asking it would set it up first.
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
