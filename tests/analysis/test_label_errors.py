"""Flipped labels come first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from core.analysis.label_errors import rank_label_errors
from core.errors import InputError

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
SHARES = np.array([0.07, 0.02, 0.41, 0.064])


def flipped_data(seed, shift=0.0):
    """4,000 images, 5 % of which have one label flipped; `shift` is added to the logits."""
    generator = np.random.default_rng(seed)
    truth = generator.random((4000, 4)) < SHARES
    scores = generator.normal(size=truth.shape) + 4 * truth
    logits = 4 * scores - 8 + np.log(SHARES / (1 - SHARES))
    flipped = generator.choice(4000, 200, replace=False)
    labels = truth.copy()
    labels[flipped, generator.integers(0, 4, 200)] ^= True
    return labels, expit(logits + shift), set(flipped.tolist())


@pytest.mark.parametrize("shift", [0.0, np.array([2.0, -3.0, 0.0, 3.0])])
def test_flips_are_at_the_top_even_when_classes_are_shifted(shift):
    labels, probabilities, flipped = flipped_data(0, shift)
    ids = [str(number) for number in range(len(labels))]
    ranked = rank_label_errors(ids, labels, probabilities, NAMES)
    top = {int(suspect.image_id) for suspect in ranked[:200]}
    assert len(top & flipped) / 200 > 0.8
    # Scaled, they are those of probabilities that no loss has moved.
    unmoved = rank_label_errors(ids, *flipped_data(0)[:2], NAMES)
    scores = [[each.disagreement for each in found] for found in (ranked, unmoved)]
    np.testing.assert_allclose(*scores, atol=1e-3)


def test_every_image_is_ranked_once_with_its_most_contradicted_label():
    labels = np.array([[0, 1], [1, 0], [0, 0], [1, 0]])
    probabilities = np.array([[0.1, 0.8], [0.05, 0.2], [0.2, 0.3], [0.9, 0.1]])
    ranked = rank_label_errors(["a", "b", "c", "d"], labels, probabilities, ["x", "y"])
    assert sorted(suspect.image_id for suspect in ranked) == ["a", "b", "c", "d"]
    first = ranked[0]
    assert (first.image_id, first.class_name, first.labelled) == ("b", "x", True)
    assert first.probability == 0.05
    scores = [suspect.disagreement for suspect in ranked]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_scores_are_finite_shares(seed, images):
    generator = np.random.default_rng(seed)
    labels = generator.random((images, 3)) < 0.3
    probabilities = np.round(generator.random((images, 3)), 1)
    ranked = rank_label_errors([str(k) for k in range(images)], labels, probabilities, NAMES[:3])
    assert len(ranked) == images
    assert all(0 <= suspect.disagreement <= 1 for suspect in ranked)


def test_impossible_probabilities_are_refused():
    with pytest.raises(InputError, match=r"expected a number in \[0, 1\]"):
        rank_label_errors(["a"], np.array([[1]]), np.array([[2.0]]), ["x"])
