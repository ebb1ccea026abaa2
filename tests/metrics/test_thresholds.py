"""Thresholds against a search over every possible decision, and what shrinkage does."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_predictions import random_predictions

from core.errors import InputError
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.thresholds import FEWEST_POSITIVES, choose_thresholds, operating_points
from core.validation import validate

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]


def chosen_for(labels, probabilities, **values):
    criteria = EvaluationSettings(**values)
    return values_of(labels[:, None], probabilities[:, None], ["a"], criteria)["a"]


def values_of(*prediction):
    chosen = choose_thresholds(*prediction)
    return {name: threshold.value for name, threshold in chosen.items()}


def at(labels, probabilities, threshold):
    """Precision, recall, F1, misses and false alarms of one threshold."""
    predicted = probabilities >= threshold
    hits, misses = (labels & predicted).sum(), (labels & ~predicted).sum()
    alarms = (~labels & predicted).sum()
    return (
        hits / max(hits + alarms, 1),
        hits / (hits + misses),
        2 * hits / (2 * hits + misses + alarms),
        misses,
        alarms,
    )


def every_decision(labels, probabilities):
    """The same at each distinct cut, one by one."""
    cuts = [*np.unique(probabilities), 2.0]
    return np.array([at(labels, probabilities, cut) for cut in cuts])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(2, 60), decimals=st.integers(1, 3))
def test_each_criterion_finds_the_best_of_all_decisions(seed, images, decimals):
    labels, probabilities = random_predictions(seed, images, (0.4,))
    labels, probabilities = labels[:, 0].astype(bool), np.round(probabilities[:, 0], decimals)
    labels[0] = True
    precision, recall, f1, misses, alarms = every_decision(labels, probabilities).T

    found = chosen_for(labels, probabilities, threshold_shrinkage=0)
    assert at(labels, probabilities, found)[2] == pytest.approx(f1.max())

    found = chosen_for(
        labels, probabilities, threshold_criterion="precision_at_recall", min_recall=0.8
    )
    reached = at(labels, probabilities, found)
    assert reached[1] >= 0.8
    assert reached[0] == pytest.approx(precision[recall >= 0.8].max())

    found = chosen_for(
        labels, probabilities, threshold_criterion="cost", cost_miss=3, cost_false_alarm=1
    )
    reached = at(labels, probabilities, found)
    assert 3 * reached[3] + reached[4] == (3 * misses + alarms).min()

    found = chosen_for(
        labels, probabilities, threshold_criterion="recall_at_precision", min_precision=0.6
    )
    reached = at(labels, probabilities, found)
    if precision.max() >= 0.6:
        assert reached[0] >= 0.6
        assert reached[1] == pytest.approx(recall[precision >= 0.6].max())
    else:
        assert reached[0] == pytest.approx(precision.max())


def test_operating_points_are_all_the_decisions_there_are():
    labels = np.array([True, False, True, True, False])
    probabilities = np.array([0.9, 0.7, 0.7, 0.2, 0.0])
    points = operating_points(labels, probabilities)
    np.testing.assert_allclose(points.thresholds, [0.8, 0.45, 0.1, 0.0, 0.95])
    np.testing.assert_array_equal(points.true_positives, [1, 2, 3, 3, 0])
    np.testing.assert_array_equal(points.false_positives, [0, 1, 1, 2, 0])
    for threshold, hits in zip(points.thresholds, points.true_positives, strict=True):
        assert (labels & (probabilities >= threshold)).sum() == hits


@pytest.mark.parametrize("highest", [1.0, np.nextafter(1.0, 0.0), 0.5])
def test_neighbouring_probabilities_are_still_told_apart(highest):
    lower = np.nextafter(highest, 0.0)
    points = operating_points(np.array([True, False]), np.array([highest, lower]))
    decisions = [(np.array([highest, lower]) >= t).tolist() for t in points.thresholds]
    assert decisions == [[True, False], [True, True], [False, False]]


def test_shrinkage_draws_towards_one_half_and_most_where_positives_are_few():
    generator = np.random.default_rng(0)
    labels = np.zeros((400, 2), dtype=int)
    labels[:10, 0] = labels[:200, 1] = 1
    # Both classes are separated perfectly, and only between 0.1 and 0.2.
    probabilities = np.where(labels == 1, 0.2, 0.1) + generator.random((400, 2)) * 1e-3
    found = [
        values_of(labels, probabilities, ["few", "many"], EvaluationSettings(threshold_shrinkage=k))
        for k in (0, 10, 1e9)
    ]
    assert found[0]["few"] == pytest.approx(found[0]["many"], abs=0.01)
    assert found[0]["few"] < found[1]["few"] < found[2]["few"]
    assert found[1]["few"] > found[1]["many"] + 0.05
    assert found[2]["few"] == pytest.approx(0.5, abs=1e-6)
    # Ten positives against a prior worth ten: half way on the logit scale.
    logit = np.log(found[1]["few"] / (1 - found[1]["few"]))
    assert logit == pytest.approx(np.log(found[0]["few"] / (1 - found[0]["few"])) / 2)


@pytest.mark.parametrize("positives", [1, FEWEST_POSITIVES - 1, FEWEST_POSITIVES])
def test_fewer_than_five_positives_choose_no_threshold(positives):
    labels = np.arange(100) < positives
    probabilities = np.where(labels, 0.2, 0.1)

    def chosen(**values):
        criteria = EvaluationSettings(**values)
        return choose_thresholds(labels[:, None], probabilities[:, None], ["a"], criteria)["a"]

    found, is_enough = chosen(), positives >= FEWEST_POSITIVES
    assert (found.value == 0.5) is not is_enough
    assert (found.kept is None) is is_enough
    assert found.positives == positives
    assert found.best == pytest.approx(0.15)
    assert chosen(threshold_shrinkage=0).value == pytest.approx(0.15)
    # A cost, a precision or a recall that was asked for is not given up.
    assert chosen(threshold_criterion="cost").kept is None


def test_the_middle_of_a_flat_top_is_chosen():
    """One lucky point of F1 decides less than all that are as good within its error."""
    labels = np.arange(400) < 100
    probabilities = np.where(labels, np.linspace(0.3, 0.9, 400), 0.05)
    # Two false alarms make the best point lie at an end.
    probabilities[-2:] = 0.6, 0.31
    plain = chosen_for(labels, probabilities, threshold_shrinkage=0)
    steady = chosen_for(labels, probabilities, threshold_shrinkage=1e-9)
    f1 = [at(labels, probabilities, threshold)[2] for threshold in (plain, steady)]
    assert f1[1] >= f1[0] - np.sqrt(f1[0] * (1 - f1[0]) / 100)
    assert steady != plain


def test_only_f1_is_shrunk():
    labels, probabilities = random_predictions(0)
    for criterion in ("recall_at_precision", "precision_at_recall", "cost"):
        one, other = (
            values_of(
                labels,
                probabilities,
                NAMES,
                EvaluationSettings(threshold_criterion=criterion, threshold_shrinkage=k),
            )
            for k in (0, 100)
        )
        assert one == other


def test_dearer_misses_lower_the_threshold_and_costs_may_differ_by_class():
    labels, probabilities = random_predictions(0, 500)

    def chosen(miss):
        criteria = EvaluationSettings(threshold_criterion="cost", cost_miss=miss)
        return values_of(labels, probabilities, NAMES, criteria)

    cheap, dear = chosen(0.2), chosen(20.0)
    assert all(dear[name] < cheap[name] for name in NAMES)
    mixed = chosen({"defect_1": 20.0, "defect_2": 0.2, "defect_3": 0.2, "defect_4": 0.2})
    assert mixed == {**cheap, "defect_1": dear["defect_1"]}
    with pytest.raises(InputError, match=r"evaluation.cost_miss=.*one cost for each of defect_1"):
        chosen({"defect_1": 2.0})
    by_f1 = EvaluationSettings(cost_false_alarm={"nonsense": 3.0})
    with pytest.raises(InputError, match=r"evaluation.cost_false_alarm=.*for each of defect_1"):
        choose_thresholds(labels, probabilities, NAMES, by_f1)


def test_class_without_positives_keeps_one_half_and_is_named(caplog):
    labels, probabilities = random_predictions(0)
    labels[:, 1] = 0
    with caplog.at_level(logging.WARNING):
        found = choose_thresholds(labels, probabilities, NAMES, EvaluationSettings())
    assert found["defect_2"].value == 0.5
    assert found["defect_2"].kept == "no validation image shows it"
    assert (found["defect_2"].best, found["defect_2"].positives) == (None, 0)
    assert "defect_2" in caplog.text


def test_precision_out_of_reach_is_said(caplog):
    labels, probabilities = np.array([True, False, False]), np.array([0.5, 0.5, 0.1])
    with caplog.at_level(logging.WARNING):
        found = chosen_for(labels, probabilities, threshold_criterion="recall_at_precision")
    assert at(labels, probabilities, found)[0] == 0.5
    assert "no threshold reaches precision 0.9" in caplog.text
    for least, unmet in (
        (0.9, "no threshold reaches precision 0.9 on the validation part (best 0.5)"),
        (0.5, None),
    ):
        criteria = EvaluationSettings(
            threshold_criterion="recall_at_precision", min_precision=least
        )
        (found,) = choose_thresholds(
            labels[:, None], probabilities[:, None], ["a"], criteria
        ).values()
        assert (found.unmet, found.kept) == (unmet, None)


@pytest.mark.parametrize(
    "values",
    [
        {"threshold_criterion": "accuracy"},
        {"min_precision": 0},
        {"min_recall": 1.5},
        {"cost_miss": -1},
        {"cost_false_alarm": {"defect_1": 0}},
        {"calibration": "isotonic"},
        {"bootstrap_resamples": 10},
        {"confidence": 1},
        {"threshold_shrinkage": -1},
        {"treshold_shrinkage": 1},
    ],
)
def test_impossible_settings_are_refused_by_name(values):
    with pytest.raises(InputError, match=next(iter(values))):
        validate(EvaluationSettings, values, "evaluation")
