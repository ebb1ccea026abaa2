"""Steps with the reading of their images, timed with several numbers of workers."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader

from core.autotuning.budget import Budget
from core.autotuning.contest import FEWEST_ROUNDS, MARGIN, Outcome, Run, contest
from core.data.dataset import StripDataset
from core.data.loaders import start_worker

_COUNTED_BATCHES = 4
# What torch's loader reads ahead, for each worker.
_AHEAD = 2
_NUMBERS = (1, 2, 4)

Step = Callable[[dict[str, Any]], None]


def workers_contest(
    dataset: StripDataset, batch_size: int, step: Step, step_seconds: float, budget: Budget
) -> Outcome:
    """The number of workers with which batches are read and computed fastest, "0" by default.

    Workers are tried only where reading a batch takes a share of a step that is worth saving.
    """
    draws = list(range(min(batch_size, len(dataset))))
    begun = time.perf_counter()
    dataset.__getitems__(draws)
    reading = time.perf_counter() - begun
    if reading < MARGIN * step_seconds:
        return Outcome("0", not_measured=f"reading takes {reading / step_seconds:.1%} of a step")
    numbers = [0]
    for number in _NUMBERS:
        batches = sum(map(_batches_of_a_turn, [*numbers, number]))
        in_time = batches * (1 + FEWEST_ROUNDS) * step_seconds <= budget.left
        if in_time and number <= (os.cpu_count() or 1):
            numbers.append(number)
    if numbers == [0]:
        return Outcome("0", not_measured="too little time, or one core")
    return contest({str(n): reading_with(n, dataset, draws, step) for n in numbers}, budget)


def reading_with(number: int, dataset: StripDataset, draws: Sequence[int], step: Step) -> Run:
    """Some steps on batches that `number` workers read; its seconds are those of the last ones.

    The first batches of a turn are those that were read while nothing was computed.
    """

    def turn() -> float:
        batches = _batches(number, dataset, draws)
        for _ in range(1 + _AHEAD * number):
            step(next(batches))
        begun = time.perf_counter()
        for _ in range(_COUNTED_BATCHES):
            step(next(batches))
        return time.perf_counter() - begun

    return turn


def _batches_of_a_turn(number: int) -> int:
    return 1 + _AHEAD * number + _COUNTED_BATCHES


def _batches(number: int, dataset: StripDataset, draws: Sequence[int]) -> Iterator[dict[str, Any]]:
    # More than are asked for, so that the workers have work until the end.
    count = _batches_of_a_turn(number) + _AHEAD * number
    loader = DataLoader(
        dataset,
        batch_sampler=[list(draws)] * count,
        num_workers=number,
        collate_fn=dict,
        worker_init_fn=start_worker,
    )
    return iter(loader)
