"""Verdicts of several reviewers, their agreement, and the rate of wrong labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reviewing import decision
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from core.review.decisions import Entry
from core.review.estimates import (
    agreement_by_class,
    cohens_kappa,
    error_rate,
    error_rates,
)
from core.review.verdicts import current_verdicts


def entries(*decided: tuple, **values) -> list[Entry]:
    """Entries from (reviewer, image, what was decided), in their order."""
    return [
        Entry(
            **decision(image_id, what, reviewer=reviewer, **values).model_dump(),
            number=number,
            at="",
        )
        for number, (reviewer, image_id, what) in enumerate(decided, start=1)
    ]


@pytest.mark.parametrize(
    ("decided", "state", "label"),
    [
        (["keep"], "decided", 1), (["clear"], "decided", 0), (["set"], "decided", 1),
        (["unsure"], "unsure", 1), (["clear", "unsure"], "unsure", 1),
        (["clear", "keep"], "conflict", 1), (["clear", "clear", "keep"], "decided", 0),
        (["clear", "keep", "unsure"], "conflict", 1),
    ],
)  # fmt: skip
def test_most_of_the_reviewers_decide_else_the_given_label_stays(decided, state, label):
    said = [(f"R{number}", "a.jpg", what) for number, what in enumerate(decided)]
    (verdict,) = current_verdicts(entries(*said, given=True))
    assert (verdict.state, verdict.label) == (state, label)
    assert verdict.is_changed == (label == 0)
    assert verdict.reasons == ", ".join(f"R{n}: {what}" for n, what in enumerate(decided))


def test_the_last_decision_of_a_reviewer_counts():
    found = current_verdicts(
        entries(("Ann", "b.jpg", "set"), ("Ann", "a.jpg", "set"), ("Ann", "b.jpg", "keep"))
    )
    assert [(verdict.image_id, verdict.label) for verdict in found] == [("a.jpg", 1), ("b.jpg", 0)]


@given(st.lists(st.tuples(*[st.sampled_from([0, 1, None])] * 2), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs):
    kappa = cohens_kappa(pairs)
    if kappa is None:
        assert len({answer for pair in pairs for answer in pair}) == 1
        return
    first, second = (list(map(str, answers)) for answers in zip(*pairs, strict=True))
    assert kappa == pytest.approx(cohen_kappa_score(first, second))


def test_agreement_is_that_of_strips_that_two_saw_blind():
    shown = [("Ann", "a.jpg", "set"), ("Bob", "a.jpg", "set"), ("Ann", "b.jpg", "clear"),
             ("Bob", "b.jpg", "clear"), ("Bob", "c.jpg", "set")]  # fmt: skip
    seen = entries(("Ann", "d.jpg", "set"), ("Bob", "d.jpg", "clear"))
    found = agreement_by_class(current_verdicts(entries(*shown, blind=True) + seen))
    assert (found["pit"].num_pairs, found["pit"].kappa) == (2, 1.0)
    assert cohens_kappa([]) is None


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_interval_is_that_of_scipy(wrong, right):
    found = error_rate(wrong, wrong + right)
    if not wrong + right:
        assert found.interval is None
        return
    exact = binomtest(wrong, wrong + right).proportion_ci(0.95, "exact")
    assert found.interval == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_interval_holds_the_planted_rate_as_often_as_it_says():
    wrong = np.random.default_rng(0).binomial(120, 0.07, 400)
    held = [low <= 0.07 <= high for low, high in (error_rate(int(k), 120).interval for k in wrong)]
    assert np.mean(held) >= 0.93


def test_the_rate_comes_from_the_random_sample_alone():
    suspects = entries(*[("Ann", f"s{n}.jpg", "set") for n in range(5)])
    sample = entries(
        ("Ann", "a.jpg", "set"), ("Ann", "b.jpg", "keep"), ("Ann", "c.jpg", "keep"),
        ("Ann", "d.jpg", "unsure"), sample="random",
    )  # fmt: skip
    crack = entries(
        ("Ann", "a.jpg", "keep"), ("Ann", "b.jpg", "keep"), ("Ann", "d.jpg", "keep"),
        sample="random", class_name="crack",
    )  # fmt: skip
    found = error_rates(current_verdicts([*suspects, *sample, *crack]))
    assert (found["pit"].num_wrong, found["pit"].num_reviewed, found["pit"].num_open) == (1, 3, 1)
    assert (found["crack"].num_wrong, found["crack"].num_reviewed) == (0, 3)
    # Of c.jpg one class is missing, of d.jpg one is unsure.
    assert (found[""].num_wrong, found[""].num_reviewed, found[""].num_open) == (1, 2, 2)
    assert error_rates([])[""].rate is None
