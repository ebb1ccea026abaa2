"""The threshold at a chosen rate of false alarms, and figures of scores."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from core.errors import InputError
from core.novelty.choosing import split_by_groups
from core.novelty.evaluation import KnownStrips, evaluate
from core.novelty.threshold import choose_threshold, false_alarms


def scores(number, seed=0):
    return np.random.default_rng(seed).normal(size=number)


@pytest.mark.parametrize(("number", "above"), [(199, 0), (399, 1), (1999, 9)])
def test_the_threshold_leaves_the_chosen_share_of_clean_strips_above_it(number, above):
    found = choose_threshold(scores(number), 5)
    assert found.is_enough
    assert (scores(number) > found.threshold).sum() == above
    assert found.expected_per_1000 == pytest.approx(5)


@pytest.mark.parametrize("copies", [1, 5])
def test_the_rate_of_later_strips_is_expected_right_and_lies_in_the_interval(copies):
    """Over many draws: the mean rate, and how often the interval covers it; also with copies."""
    rates, covered = [], 0
    groups = np.repeat(np.arange(99), copies)
    for seed in range(400):
        drawn = np.random.default_rng(seed).uniform(size=99)
        found = choose_threshold(drawn[groups], 50, groups)
        rate = 1000 * (1 - found.threshold)  # of a uniform distribution, exactly
        rates.append(rate)
        low, high = found.interval_per_1000
        covered += low <= rate <= high
    assert np.mean(rates) == pytest.approx(50, abs=4)
    assert 0.92 <= covered / 400 <= 0.98


def test_too_few_clean_strips_are_said_to_be_too_few():
    found = choose_threshold(scores(20), 5)
    assert not found.is_enough
    assert found.threshold == scores(20).max()
    assert "too few for 5 false alarms per 1,000, which takes at least 199" in found.lines()[1]
    assert found.interval_per_1000[1] > 100


def test_copies_are_worth_no_more_than_one_of_them():
    alone = choose_threshold(scores(40), 5)
    copied = choose_threshold(np.repeat(scores(40), 5), 5, np.repeat(np.arange(40), 5))
    assert not copied.is_enough
    assert copied.expected_per_1000 == pytest.approx(1000 / 41)
    assert copied == replace(alone, num_strips=200)


def test_false_alarms_have_the_exact_interval():
    values = np.r_[np.ones(3), np.zeros(47)]
    found = false_alarms(values, 0.5)
    expected = binomtest(3, 50).proportion_ci(0.95, "exact")
    assert found["num_alarms"] == 3
    assert found["per_1000"] == pytest.approx(60)
    assert found["interval_per_1000"] == pytest.approx([1000 * bound for bound in expected])


@pytest.mark.parametrize("bad", [np.array([]), np.array([1.0, np.nan]), np.array([np.inf])])
def test_no_scores_and_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(InputError):
        choose_threshold(bad, 5)


def test_figures_agree_with_scikit_learn():
    generator = np.random.default_rng(1)
    labels = generator.random((300, 2)) < [0.2, 0.1]
    values = generator.normal(size=300) + 1.5 * labels[:, 0] + 0.5 * labels[:, 1]
    threshold = choose_threshold(scores(399), 25)
    found = evaluate(values, threshold, KnownStrips(labels, ("a", "b"), np.arange(300)))
    clean = ~labels.any(axis=1)
    for one, own in ((found["any_defect"], ~clean), (found["per_class"]["b"], labels[:, 1])):
        kept = own | clean
        assert one["auroc"] == pytest.approx(roc_auc_score(own[kept], values[kept]))
        assert one["recall"] == pytest.approx((values[own] > threshold.threshold).mean())
        low, high = one["auroc_interval"]
        assert low < one["auroc"] < high
    assert found["false_alarms"]["num_strips"] == clean.sum()


def test_each_group_of_near_duplicates_stays_in_one_part():
    groups = np.random.default_rng(2).integers(0, 60, 200)
    parts = split_by_groups(groups, (0.2, 0.2), seed=1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    members = [set(groups[rows]) for rows in parts]
    assert sum(map(len, members)) == len(set.union(*members))
    assert all(30 <= len(rows) <= 40 for rows in parts[1:])
