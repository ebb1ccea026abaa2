"""Nearest images and the score of their order, against plain loops and scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.metrics.intervals import Bootstrap
from core.similarity.neighbours import Nearest
from core.similarity.retrieval import average_precision, chance_level, rank, scores


def unit(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def files(tmp_path) -> list[str]:
    for number in range(20):
        (tmp_path / f"{number:02d}").touch()
    return sorted(map(str, tmp_path.iterdir()))


@pytest.mark.parametrize("size", [1, 3, 20])
def test_the_nearest_are_those_of_the_whole_order_in_blocks_of_any_size(files, size):
    queries, gallery = unit((4, 6)), unit((20, 6), 1)
    nearest = Nearest(files[:4], queries, 5)
    for start in range(0, 20, size):
        nearest.add(files[start : start + size], gallery[start : start + size])
    for row in range(4):
        similarity = queries[row] @ gallery.T
        expected = [n for n in np.argsort(-similarity) if n != row][:5]
        assert [one.image for one in nearest.of(row)] == [files[n] for n in expected]


def test_there_are_no_more_neighbours_than_images(files):
    nearest = Nearest(files[:1], unit((1, 6)), 5)
    nearest.add(files[:3], unit((3, 6), 1))
    assert len(nearest.of(0)) == 2


def test_average_precision_is_that_of_scikit_learn_ties_included():
    generator = np.random.default_rng(0)
    for _ in range(20):
        positives = generator.random(30) < 0.3
        positives[0] = True
        values = generator.integers(0, 8, 30) / 8
        expected = average_precision_score(positives, values)
        assert average_precision(positives, values) == pytest.approx(expected)


def test_chance_is_the_mean_over_all_orders():
    base = np.array([True, True, False, False, False])
    orders = [np.array(order) for order in itertools.permutations(range(5))]
    mean = np.mean([average_precision(base, order.astype(float)) for order in orders])
    assert chance_level(2, 5) == pytest.approx(mean)
    assert chance_level(1, 1) == 1


def test_a_score_over_sets_weighs_each_set_alike():
    features = unit((9, 4))
    sets = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2])
    left_out = {row: [row] for row in range(9)}
    ranking = rank((features, features), (sets, sets), left_out)
    report = scores(ranking, [f"set {n}" for n in sets], Bootstrap(resamples=50))
    means = [ranking.average_precision[sets == n].mean() for n in range(3)]
    assert report["over_label_sets"]["mean_average_precision"] == pytest.approx(np.mean(means))
    overall = report["over_queries"]["mean_average_precision"]
    assert overall == pytest.approx(ranking.average_precision.mean())
    per_set = [one["mean_average_precision"] for one in report["per_label_set"].values()]
    assert per_set == pytest.approx(means)


def test_a_query_without_a_positive_is_counted_and_left_out():
    features = unit((3, 4))
    sets = np.array([0, 0, 1])
    ranking = rank((features, features), (sets, sets), {row: [row] for row in range(3)})
    report = scores(ranking, ["a", "a", "b"], Bootstrap(resamples=20))
    assert (report["num_queries"], report["num_without_positive"]) == (2, 1)
    assert np.isnan(ranking.average_precision[2])
    nowhere = rank((features, features), (np.array([5, 6, 7]), sets), {})
    assert scores(nowhere, ["a"] * 3, Bootstrap()) == {"num_queries": 0, "num_without_positive": 3}


def test_features_that_tell_sets_apart_score_one():
    sets = np.repeat([0, 1, 2], 4)
    features = np.eye(3, dtype=np.float32)[sets]
    ranking = rank((features, features), (sets, sets), {row: [row] for row in range(12)})
    assert (ranking.average_precision == 1).all()
    assert (ranking.chance < 0.6).all()
