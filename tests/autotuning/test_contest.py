"""The chooser, by a clock that only the contenders move."""

import math

import pytest
import torch

from core.autotuning.budget import (
    FEWEST_IMAGES,
    LONGEST_SECONDS,
    Budget,
    images_of_a_turn,
    seconds_for,
    seconds_of,
    too_little_work,
)
from core.autotuning.contest import MOST_ROUNDS, contest


class Race:
    """Contenders whose turns take given seconds; `order` has their names, turn by turn."""

    def __init__(self, **seconds) -> None:
        self.now, self.order, self.seconds = 0.0, [], seconds

    def budget(self, seconds: float) -> Budget:
        return Budget(seconds, clock=lambda: self.now)

    def runs(self) -> dict:
        return {name: lambda name=name: self.turn(name) for name in self.seconds}

    def turn(self, name: str) -> float:
        self.order.append(name)
        given = self.seconds[name]
        taken = given(self.order.count(name)) if callable(given) else given
        self.now += taken if math.isfinite(taken) else 0
        return taken


def outcome(race: Race, seconds: float = 1000.0):
    return contest(race.runs(), race.budget(seconds))


def test_contenders_take_turns_in_both_orders():
    race = Race(usual=1.0, other=0.95)
    assert outcome(race).chosen == "other"
    first_turns, rounds = race.order[:2], race.order[2:]
    assert first_turns == ["usual", "other"]
    assert rounds[:8] == ["usual", "other", "other", "usual"] * 2
    assert len(rounds) == 2 * MOST_ROUNDS


def test_one_that_is_clearly_slower_drops_out_after_two_rounds():
    race = Race(usual=1.0, slow=5.0, close=1.05)
    found = outcome(race)
    assert found.chosen == "usual"
    assert len(found.seconds["slow"]) == 2
    assert len(found.seconds["close"]) == MOST_ROUNDS


def test_a_contest_ends_once_one_is_left():
    race = Race(usual=1.5, fast=1.0)
    assert outcome(race).chosen == "fast"
    assert race.order.count("usual") == race.order.count("fast") == 3


@pytest.mark.parametrize(("other", "chosen"), [(0.99, "usual"), (0.97, "other"), (1.2, "usual")])
def test_the_default_stays_unless_it_is_beaten_by_the_margin(other, chosen):
    assert outcome(Race(usual=1.0, other=other)).chosen == chosen


def test_one_slow_turn_of_the_default_decides_nothing():
    race = Race(usual=lambda turn: 9.0 if turn == 3 else 1.0, other=1.0)
    assert outcome(race).chosen == "usual"


def test_first_turns_do_not_count():
    race = Race(usual=lambda turn: 50.0 if turn == 1 else 1.0, other=1.0)
    found = outcome(race)
    assert found.chosen == "usual"
    assert found.medians == {"usual": 1.0, "other": 1.0}


def test_no_turn_begins_that_would_end_after_the_budget():
    race = Race(usual=1.0, other=0.95)
    found = outcome(race, seconds=8.0)
    assert race.now <= 8.0
    assert found.chosen == "other"
    assert len(found.seconds["usual"]) == 3


@pytest.mark.parametrize("seconds", [0.5, 2.0, 4.0])
def test_without_time_for_two_rounds_the_default_stays(seconds):
    found = outcome(Race(usual=1.0, other=0.5), seconds)
    assert found.chosen == "usual"
    assert found.not_measured


def test_one_that_fails_is_out():
    found = outcome(Race(usual=1.0, broken=math.inf, other=0.5))
    assert found.chosen == "other"
    assert found.seconds["broken"] == []
    alone = outcome(Race(usual=1.0, broken=math.inf))
    assert (alone.chosen, alone.not_measured) == ("usual", "no other way could be computed")
    assert outcome(Race(usual=math.inf, other=1.0)).not_measured == (
        "the usual way failed in the trial"
    )


def test_one_that_fails_later_is_not_chosen():
    race = Race(usual=1.0, breaking=lambda turn: math.inf if turn == 3 else 0.5)
    assert outcome(race).chosen == "usual"


def test_a_budget_is_five_percent_or_twenty_seconds():
    assert seconds_for(1000, 0.1) == pytest.approx(5.0)
    assert seconds_for(100_000, 0.1) == LONGEST_SECONDS


def test_on_one_thread_the_seconds_are_those_of_computing(monkeypatch):
    computed, passed = iter([10.0, 10.5]), iter([100.0, 109.0])
    monkeypatch.setattr("time.process_time", lambda: next(computed))
    monkeypatch.setattr("time.perf_counter", lambda: next(passed))
    for threads, seconds in ((1, 0.5), (2, 9.0)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert seconds_of(lambda: None, torch.device("cpu")) == seconds


def test_a_busy_machine_ends_the_trial_in_time():
    """Turns count one second each, and ten pass."""
    race = Race(usual=10.0, other=10.0)
    runs = {name: lambda run=run: run() / 10 for name, run in race.runs().items()}
    found = contest(runs, race.budget(30.0))
    assert race.now <= 30.0
    assert found.not_measured == "too little time"


def test_a_turn_takes_a_whole_batch_or_as_much_as_fits():
    assert images_of_a_turn(20.0, 0.1, batch_size=8, contenders=2) == 8
    assert images_of_a_turn(2.5, 0.1, batch_size=8, contenders=2) == 4
    assert images_of_a_turn(1.3, 0.1, batch_size=8, contenders=2) == FEWEST_IMAGES
    assert images_of_a_turn(1.1, 0.1, batch_size=8, contenders=2) == 0
    assert images_of_a_turn(0.2, 1e-6, batch_size=8, contenders=2) == 0


def test_too_few_images_are_said_with_their_number():
    assert not too_little_work(240, contenders=2)
    assert "239 here" in too_little_work(239, contenders=2)
