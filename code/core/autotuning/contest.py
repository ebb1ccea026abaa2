"""Contenders in turn: which one is fastest, within a budget of seconds."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# What another contender has to win by, so that the default is not left for noise.
MARGIN = 0.02
FEWEST_ROUNDS, MOST_ROUNDS = 2, 7
# A contender that was never nearer to the fastest than this is out.
_CLEARLY_SLOWER = 1.1
# A first turn may take much longer than the next ones, which are expected to be alike.
_UNLIKE = 2.0

Run = Callable[[], float]
"""Does the work once and returns the seconds that count; infinite where it cannot be done."""


class Seconds(Protocol):
    """What is left of a budget."""

    @property
    def left(self) -> float: ...


@dataclass(frozen=True)
class Outcome:
    """The chosen contender, the seconds of each in its counted turns, and why none were counted."""

    chosen: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    not_measured: str = ""

    @property
    def medians(self) -> dict[str, float]:
        """The median seconds of each contender that took a counted turn."""
        return {name: statistics.median(taken) for name, taken in self.seconds.items() if taken}


def contest(runs: Mapping[str, Run], budget: Seconds) -> Outcome:
    """The fastest of `runs`, of which the first one is the default.

    All take turns in rounds, after a first turn each that is not counted. So whatever else the
    machine does affects all of them alike. From the second round on, those that are clearly slower
    drop out. Another contender replaces the default only if it is faster by `MARGIN`, in the median
    of the rounds that both took. No turn begins that is expected to end after the budget.
    """
    default = next(iter(runs))
    expected: dict[str, float] = {}
    for name, run in runs.items():
        if budget.left < min(expected.values(), default=0.0):
            return Outcome(default, not_measured="the first turns took all the time that there was")
        first, expected[name] = _turn(run, budget)
        expected[name] = max(first, expected[name])
        if math.isinf(expected[default]):
            return Outcome(default, not_measured="the usual way failed in the trial")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    remaining = [name for name in runs if math.isfinite(expected[name])]
    for number in range(MOST_ROUNDS):
        is_decided = len(remaining) <= 1 < len(runs)
        if is_decided or budget.left < _expected_round(remaining, expected):
            break
        for name in remaining if number % 2 == 0 else reversed(remaining):
            taken, expected[name] = _turn(runs[name], budget)
            seconds[name].append(taken)
        if number + 1 >= FEWEST_ROUNDS:
            remaining = _still_in_it(remaining, seconds)
    if len(seconds[default]) < FEWEST_ROUNDS:
        alone = len(remaining) == 1 < len(runs)
        few = "no other way could be computed" if alone else "too little time"
        return Outcome(default, seconds, few)
    return Outcome(_winner(remaining or [default], seconds, default), seconds)


def _turn(run: Run, budget: Seconds) -> tuple[float, float]:
    """The seconds that count, and those that passed: on a busy machine, more."""
    before = budget.left
    return run(), before - budget.left


def _expected_round(remaining: Sequence[str], expected: Mapping[str, float]) -> float:
    most = _UNLIKE * min(expected[name] for name in remaining)
    return sum(min(expected[name], most) for name in remaining)


def _still_in_it(remaining: Sequence[str], seconds: Mapping[str, list[float]]) -> list[str]:
    able = [name for name in remaining if math.inf not in seconds[name]]
    best = {name: min(seconds[name]) for name in able}
    fastest = min(best.values(), default=math.inf)
    return [name for name in able if best[name] <= _CLEARLY_SLOWER * fastest]


def _winner(remaining: Sequence[str], seconds: Mapping[str, list[float]], default: str) -> str:
    best = min(remaining, key=lambda name: statistics.median(seconds[name]))
    both = zip(seconds[default], seconds[best], strict=False)  # those of the rounds that both took
    ratio = statistics.median(usual / mine for usual, mine in both)
    return best if ratio >= 1 + MARGIN else default
