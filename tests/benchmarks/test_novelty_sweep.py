"""The sweep over detectors of novelty: its pool, its rows, and what it does when called again."""

import numpy as np
import pytest
import torch

from benchmarks import novelty
from benchmarks.novelty import auroc, pixel_auroc, results
from benchmarks.novelty_scores import VARIANTS, PoolDetectors
from benchmarks.novelty_strips import NEVER_LABELLED, Pool, draw_pool
from benchmarks.options import Options
from core.errors import InputError
from core.novelty.bottlenecks import get_registry as bottlenecks
from core.novelty.detectors import get_registry

TINY = {"image_size": (32, 64), "num_images": 40, "test_images": 2, "num_steps": 2, "seeds": (1,)}
CHOSEN = ("high_pass", "autoencoder_rvq")


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(sweep_dir):
    return results(Options(**TINY, detectors=CHOSEN, sweep_dir=sweep_dir), sweep_dir)


@pytest.mark.slow
def test_rows_hold_every_kind_and_the_curve(swept):
    rows, text = swept
    strips = [row for row in rows if row["part"] == "strips"]
    assert [row["detector"] for row in strips] == list(CHOSEN)
    for row in strips:
        assert set(NEVER_LABELLED) < set(row["test"]["per_class"])
        assert row["threshold"]["num_strips"] == 10
    curve = [row["number"] for row in rows if row["part"] == "curve"]
    assert curve == [20]  # a half of the clean strips is all that is fitted on
    assert "reconstruction" not in strips[0]
    reconstruction = strips[1]["reconstruction"]
    assert reconstruction["error"] > 0
    assert 1 / 32 <= reconstruction["codes_used"] <= 1
    assert f"{reconstruction['codes_used']:.3f}" in text
    for row in strips:
        assert f"{row['test']['any_defect']['auroc']:.3f}" in text


def test_finished_rows_are_not_computed_again(swept, sweep_dir, monkeypatch):
    def repeated(*key):
        raise AssertionError("computed again")

    monkeypatch.setattr(novelty.Sweep, "_row", repeated)
    assert results(Options(**TINY, detectors=CHOSEN, sweep_dir=sweep_dir), sweep_dir) == swept
    with pytest.raises(AssertionError, match="computed again"):
        results(Options(**TINY, detectors=("gaussian",), sweep_dir=sweep_dir), sweep_dir)


def test_mistakes_are_named(swept, sweep_dir, tmp_path):
    with pytest.raises(InputError, match="--detectors memory: expected some of"):
        results(Options(**TINY, detectors=("memory",), sweep_dir=tmp_path), tmp_path)
    other = Options(**{**TINY, "num_steps": 3}, sweep_dir=sweep_dir)
    with pytest.raises(InputError, match="holds a sweep with other settings"):
        results(other, sweep_dir)


def test_the_error_is_1_for_an_autoencoder_that_predicts_each_strips_mean(monkeypatch):
    images = draw_pool(8, 1, (32, 64)).images[:8]
    pool = Pool(images, np.zeros((8, 1), bool), ("spot",), np.arange(8))
    detectors = PoolDetectors(pool, num_steps=1, threads=1)
    detector = get_registry().instantiate("autoencoder", bottleneck="rvq")
    detector.attach(1, (32, 64))

    def means(scaled):
        return scaled.mean((1, 2, 3), keepdim=True).expand_as(scaled)

    codes = torch.arange(64).view(1, 1, 8, 8) % 16
    network = detector.network
    monkeypatch.setattr(
        network,
        "forward",
        lambda each: {"reconstruction": means(network.scaled(each)), "codes": codes},
    )
    found = detectors.reconstruction(detector, np.arange(8))
    assert found == {"error": pytest.approx(1), "codes_used": 16 / 32}


def test_every_detector_and_bottleneck_is_in_the_sweep():
    autoencoders = [each for each in VARIANTS.values() if each.detector == "autoencoder"]
    assert {each.params.get("bottleneck", "none") for each in autoencoders} == set(bottlenecks())
    assert {each.detector for each in VARIANTS.values()} == set(get_registry())
    assert set(Options().detectors) == set(VARIANTS)


def test_no_group_is_in_two_parts_and_groups_with_a_defect_are_tested():
    groups = np.arange(120) // 3
    labels = np.zeros((120, 1), bool)
    labels[::24] = True
    pool = Pool(np.zeros((120, 1, 4, 4), np.uint8), labels, ("spot",), groups)
    parts = pool.parts(seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(120))
    assert sum(len(set(groups[part])) for part in parts) == 40
    assert set(np.flatnonzero(np.isin(groups, groups[labels.any(1)]))) <= set(parts[2].tolist())
    assert len(parts[0]) > len(parts[1]) > 20


def test_kinds_are_drawn_over_strips_that_are_otherwise_the_same_every_time():
    first, second = (draw_pool(2, 1, (32, 64)) for _ in range(2))
    assert np.array_equal(first.images, second.images)
    assert first.labels.sum(axis=0).tolist() == [1] * 6
    assert not first.labels[:2].any()
    assert len({image.tobytes() for image in first.images}) == 8


def test_auroc_counts_equal_scores_half():
    assert auroc(np.array([1.0, 2, 2, 3]), np.array([False, False, True, True])) == 0.875
    heat = torch.zeros(2, 8, 8)
    heat[0, :4] = 1
    mask = np.zeros((32, 32), np.uint8)
    mask[:16] = 1
    assert pixel_auroc(heat, [mask, None]) > 0.95
