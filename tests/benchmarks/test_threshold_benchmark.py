"""The simulation of thresholds from few images."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmarks import thresholds
from benchmarks.options import Options


@pytest.mark.parametrize("slope", thresholds.SLOPES)
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_the_f1_among_all_images_is_that_of_very_many(threshold, slope):
    drawn = thresholds.draw(40_000, 0.07, 1.8, slope, np.random.default_rng(0))
    labels, probabilities = (values[:, 0] for values in drawn)
    empirical = f1_score(labels, probabilities >= threshold)
    assert thresholds.true_f1(threshold, 0.07, 1.8, slope) == pytest.approx(empirical, abs=0.01)


def test_probabilities_of_slope_1_are_the_posterior():
    drawn = thresholds.draw(40_000, 0.2, 2.6, 1.0, np.random.default_rng(0))
    labels, probabilities = (values[:, 0] for values in drawn)
    near = abs(probabilities - 0.3) < 0.05
    assert labels[near].mean() == pytest.approx(probabilities[near].mean(), abs=0.02)


def test_the_default_keeps_more_than_the_highest_f1(tmp_path):
    rows, text = thresholds.results(Options(rounds=4), tmp_path)
    assert [row["positives"] for row in rows] == list(thresholds.POSITIVES)
    assert all(0 < row["as by default"] < row["highest F1"] for row in rows)
    assert f"{100 * rows[0]['0.5']:.1f}" in text
