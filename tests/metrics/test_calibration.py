"""Calibration errors against plain loops, and scaling against what made the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from simulated_predictions import random_predictions
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from core.metrics.calibration import calibration_figures, reliability_curve
from core.metrics.scaling import fit_scaling, to_logits

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]


def distorted(slope, intercept, images=20_000, seed=0):
    """Labels drawn from the true probabilities, and logits that claim something else."""
    generator = np.random.default_rng(seed)
    true_logits = generator.normal(-0.5, 2, (images, 2))
    labels = generator.random((images, 2)) < expit(true_logits)
    return labels.astype(int), expit((true_logits - intercept) / slope), expit(true_logits)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 80), bins=st.integers(1, 20))
def test_figures_equal_plain_loops(seed, images, bins):
    labels, probabilities = random_predictions(seed, images)
    found = calibration_figures(labels, probabilities, NAMES, bins)
    for c, name in enumerate(NAMES):
        y, p, error = labels[:, c], probabilities[:, c], 0.0
        edges = np.linspace(0, 1, bins + 1)
        for b in range(bins):
            last = b == bins - 1
            inside = (p >= edges[b]) & ((p <= edges[b + 1]) if last else (p < edges[b + 1]))
            if inside.any():
                error += inside.sum() / images * abs(y[inside].mean() - p[inside].mean())
        row = found["per_class"][name]
        assert row["expected_calibration_error"] == pytest.approx(error, abs=1e-12)
        assert row["brier_score"] == pytest.approx(brier_score_loss(y, p, pos_label=1))
        assert sum(point["num_images"] for point in row["reliability"]) == images
    errors = [row["expected_calibration_error"] for row in found["per_class"].values()]
    assert found["macro"]["expected_calibration_error"] == pytest.approx(np.mean(errors))


def test_curve_equals_scikit_learn():
    generator = np.random.default_rng(0)
    labels, probabilities = generator.random(500) < 0.3, generator.random(500)
    shares, means = calibration_curve(labels, probabilities, n_bins=10)
    curve = reliability_curve(labels, probabilities, 10)
    assert [point["share_of_positives"] for point in curve] == pytest.approx(shares)
    assert [point["mean_probability"] for point in curve] == pytest.approx(means)


def test_honest_probabilities_have_a_small_error_and_shifted_ones_a_large_one():
    labels, claimed, honest = distorted(1.0, -2.0)
    good = calibration_figures(labels, honest, ["a", "b"])["macro"]["expected_calibration_error"]
    bad = calibration_figures(labels, claimed, ["a", "b"])["macro"]["expected_calibration_error"]
    assert good < 0.015
    assert bad > 0.15


@pytest.mark.parametrize("slope", [0.4, 1.0, 3.0])
def test_temperature_finds_the_slope_that_made_the_data(slope):
    labels, claimed, honest = distorted(slope, 0.0)
    scaling = fit_scaling(labels, claimed, "temperature")
    assert scaling.slopes == pytest.approx([slope, slope], rel=0.04)
    assert scaling.intercepts.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(scaling(claimed), honest, atol=0.02)
    # One temperature moves no decision at 0.5.
    np.testing.assert_array_equal(scaling(claimed) >= 0.5, claimed >= 0.5)


def test_platt_finds_slope_and_intercept_and_equals_logistic_regression():
    labels, claimed, honest = distorted(2.0, -1.5)
    scaling = fit_scaling(labels, claimed, "platt")
    np.testing.assert_allclose(scaling(claimed), honest, atol=0.03)
    for c in range(2):
        # Platt's softened targets hardly matter for this many images.
        peer = LogisticRegression(C=np.inf).fit(logit(claimed[:, [c]]), labels[:, c])
        assert scaling.slopes[c] == pytest.approx(peer.coef_[0, 0], rel=2e-3)
        assert scaling.intercepts[c] == pytest.approx(peer.intercept_[0], rel=2e-3)


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_scaling_lowers_the_error_on_other_images_and_keeps_the_order(method):
    labels, claimed, _ = distorted(2.5, -0.5)
    scaling = fit_scaling(labels, claimed, method)
    others, claimed, _ = distorted(2.5, -0.5, seed=1)
    before = calibration_figures(others, claimed, ["a", "b"])["macro"]
    after = calibration_figures(others, scaling(claimed), ["a", "b"])["macro"]
    assert after["expected_calibration_error"] < 0.6 * before["expected_calibration_error"]
    assert after["brier_score"] < before["brier_score"]
    order = np.argsort(claimed[:, 0])
    assert (np.diff(scaling(claimed)[order, 0]) >= 0).all()


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_separable_classes_and_certain_probabilities_stay_finite(method):
    labels = np.array([[0, 1], [0, 1], [1, 0], [1, 0]])
    scaling = fit_scaling(labels, labels.astype(float), method)
    calibrated = scaling(labels.astype(float))
    assert np.isfinite(calibrated).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    assert ((calibrated > 0.5) == labels).all()


def test_platt_leaves_a_class_alone_that_has_nothing_to_fit():
    labels, claimed, _ = distorted(2.0, 0.0, images=200)
    labels[:, 1] = 0
    scaling = fit_scaling(labels, claimed, "platt")
    np.testing.assert_allclose(scaling(claimed)[:, 1], claimed[:, 1])
    assert scaling.slopes[0] > 1.3


def test_platt_never_turns_the_order_round():
    generator = np.random.default_rng(0)
    labels = generator.random((300, 1)) < 0.3
    worse_than_chance = expit(generator.normal(size=(300, 1)) - 3 * labels)
    assert fit_scaling(labels, worse_than_chance, "platt").slopes[0] > 0


def test_logits_of_certainty_are_finite():
    assert np.isfinite(to_logits(np.array([0.0, 1.0]))).all()
    assert to_logits(np.array([0.3]))[0] == pytest.approx(np.log(0.3 / 0.7))
