"""Figures of embeddings, the naming of a collapse, and the linear probe."""

import numpy as np
import pytest

from core.pretraining.probe import average_precision_of_probe
from core.pretraining.watching import effective_rank, relative_deviation, retrieval, watch


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_rank_of_known_embeddings():
    basis = np.repeat(np.eye(4), 10, axis=0)
    # Centred, four corners of a simplex span three directions evenly.
    assert effective_rank(basis) == pytest.approx(3)
    line = np.outer(np.arange(10.0), np.ones(6))
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(np.ones((10, 4))) == 0
    assert 7 < effective_rank(draw(500, 8)) <= 8


def test_the_deviation_of_known_embeddings():
    assert relative_deviation(draw(2000, 16)) == pytest.approx(1, abs=0.03)
    assert relative_deviation(np.ones((10, 16))) == 0
    assert relative_deviation(3 * draw(50, 4)) == pytest.approx(relative_deviation(draw(50, 4)))


def test_retrieval_of_the_second_view():
    views = draw(30, 8)
    assert retrieval(views, views + 0.01 * draw(30, 8, seed=1)) == 1
    assert retrieval(views, np.roll(views, 1, axis=0)) == 0
    assert retrieval(np.ones((9, 4)), np.ones((9, 4))) == 0  # all alike: nothing is told apart


@pytest.mark.parametrize(
    ("first", "collapsed"),
    [
        (draw(40, 8), False),
        (np.ones((40, 8)) + 1e-4 * draw(40, 8), True),
        (np.outer(draw(40), np.ones(8)), True),
        (np.zeros((40, 8)), True),
    ],
)
def test_a_collapse_is_named(first, collapsed):
    assert watch(first, first)["collapsed"] is collapsed


def test_the_probe_of_separable_features():
    labels = (draw(80, 2, seed=3) > 0).astype(np.uint8)
    features = np.column_stack([labels * 4.0 + draw(80, 2, seed=4), draw(80, 3)])
    found = average_precision_of_probe(features[:50], labels[:50], features[50:], labels[50:])
    assert found > 0.95
    noise = average_precision_of_probe(draw(50, 5), labels[:50], draw(30, 5, seed=9), labels[50:])
    assert noise < 0.8


def test_a_class_without_both_labels_is_left_out_of_the_probe():
    labels = np.array([[0, 1], [1, 1], [0, 1], [1, 1]])
    features = labels[:, :1] * 2.0 + 0.1 * draw(4, 3)
    assert average_precision_of_probe(features, labels, features, labels) == 1
    assert average_precision_of_probe(features, labels[:, 1:], features, labels[:, 1:]) is None
