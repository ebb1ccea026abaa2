"""The layout of a network in prediction: measured, remembered, and never at a cost of figures."""

import numpy as np
import pytest
import torch

from core.autotuning import budget
from core.predicting import fastest_layout
from core.predicting.fastest_layout import FastestLayout
from core.predicting.prediction import open_model
from core.predicting.trained_model import TrainedModel

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(budget, "SHORTEST_SECONDS", 0.0)


@pytest.fixture
def images(trained) -> np.ndarray:
    height, width = TrainedModel(trained, CPU).signature.image_size
    return np.random.default_rng(0).integers(0, 255, (4, 1, height, width), np.uint8)


@pytest.fixture
def turns(monkeypatch) -> list[bool]:
    """For each turn, whether it was in channels last, which wins."""
    counted = []

    def seconds(self, model, images) -> float:
        counted.append(is_last(model))
        return 0.01 if counted[-1] else 0.02

    monkeypatch.setattr(FastestLayout, "_seconds", seconds)
    return counted


def is_last(model) -> bool:
    weight = next(p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1)
    return weight.is_contiguous(memory_format=torch.channels_last)


def test_the_faster_layout_is_taken_and_remembered(trained, images, turns):
    expected = TrainedModel(trained, CPU)(images)
    first = FastestLayout(trained, 10_000, CPU)
    np.testing.assert_allclose(first(images), expected, rtol=0, atol=1e-4)
    assert is_last(first.model)
    assert set(turns) == {True, False}
    turns.clear()
    second = FastestLayout(trained, 10_000, CPU)
    np.testing.assert_array_equal(second(images), first(images))
    assert is_last(second.model)
    assert not turns


def test_it_is_measured_at_the_first_batch_only(trained, images, turns):
    model = FastestLayout(trained, 10_000, CPU)
    model(images)
    turns.clear()
    model(images[:3])
    assert not turns


def test_few_images_are_predicted_as_before(trained, images, turns):
    for model in (FastestLayout(trained, 100, CPU), open_model(trained)):
        np.testing.assert_array_equal(model(images), TrainedModel(trained, CPU)(images))
        assert not is_last(model.model)
    assert not turns


def test_a_layout_that_changes_probabilities_is_not_taken(trained, images, turns, monkeypatch):
    monkeypatch.setattr(fastest_layout, "TOLERANCE", -1.0)
    model = FastestLayout(trained, 10_000, CPU)
    np.testing.assert_array_equal(model(images), TrainedModel(trained, CPU)(images))
    assert not is_last(model.model)


def test_real_turns_choose_one_of_both(trained, images, monkeypatch):
    monkeypatch.setattr(budget, "SHARE", 10.0)
    model = FastestLayout(trained, 10_000, CPU)
    found = model(images)
    np.testing.assert_allclose(found, TrainedModel(trained, CPU)(images), rtol=0, atol=1e-4)
