"""Blackout, shift, mixing and samplers, from the command line to results.json."""

import json

import numpy as np
import pytest
import torch

from core.running.composition import build
from core.running.loading import choose_split, read_data

AUGMENTED = [
    "augmentation.blackout.probability=0.5",
    "augmentation.horizontal_shift.probability=0.5",
    "augmentation.cutmix.probability=0.4",
    "data.sampler=balanced",
    "data.class_shares=[0.5,0.2,0.2,0.2]",
    "training.num_epochs=1",
]
MASKS = ["model.mask_head=true", "mask_loss.type=dice_loss", "data.mask_fraction=0.5"]


def trained_with(train_command, results_dir, *overrides):
    ended = train_command(*overrides, f"experiment.results_dir={results_dir}")
    assert ended.exit_code == 0, ended.errors
    (path,) = results_dir.glob("*/results.json")
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("more", [["augmentation.mixup.probability=0.4"], MASKS])
def test_it_trains_alike_with_any_number_of_workers(train_command, tiny, tmp_path, more):
    runs = [
        trained_with(
            train_command,
            tmp_path / str(workers),
            *tiny,
            *AUGMENTED,
            *more,
            f"data.num_workers={workers}",
        )
        for workers in (0, 2)
    ]
    first, second = (run["history"][0]["train"]["loss"] for run in runs)
    assert first == second
    assert np.isfinite(first)
    names = [entry["__class_fullname__"] for entry in runs[0]["augmentation"]]
    assert names[:2] == ["Blackout", "HorizontalShift"]
    assert names[-1] == "Cutmix"
    assert ("Mixup" in names) == (more != MASKS)


@pytest.mark.slow
def test_the_share_of_each_class_is_recorded(train_command, tiny, tmp_path):
    results = trained_with(train_command, tmp_path, *tiny, *AUGMENTED, "loss.reduction=positives")
    sampler = results["data"]["sampler"]
    assert sampler["name"] == "balanced"
    part = results["data"]["split"]["parts"]["train"]
    for name, count in part["class_counts"].items():
        share = sampler["expected_class_shares"][name]
        assert share >= 0.2 - 1e-9
        if count / part["num_images"] < 0.2:
            assert share > count / part["num_images"]
    assert sampler["expected_clean_share"] == pytest.approx(0.2)
    # The loss divides by what is drawn, not by what the training part holds.
    drawn = list(sampler["expected_class_shares"].values())
    assert results["loss"]["params"]["positive_shares"] == pytest.approx(drawn)


def test_by_default_nothing_of_it_runs(trained):
    results = json.loads((trained / "results.json").read_text())
    names = {entry["__class_fullname__"] for entry in results["augmentation"]}
    assert not names & {"Blackout", "HorizontalShift", "Mixup", "Cutmix"}
    sampler, part = results["data"]["sampler"], results["data"]["split"]["parts"]["train"]
    assert sampler["name"] == "natural"
    assert sampler["expected_clean_share"] == part["clean"] / part["num_images"]


@pytest.mark.parametrize("key", ["blackout", "horizontal_shift", "mixup", "cutmix"])
@pytest.mark.parametrize("group", ["standard", "none"])
def test_true_switches_it_on_in_any_group(compose, key, group):
    off, on = (
        compose(f"augmentation={group}", f"augmentation.{key}={value}").augmentation
        for value in ("null", "true")
    )
    assert getattr(off, key) is None
    assert getattr(on, key).probability == 0.5


def test_mixup_beside_a_mask_loss_is_refused(train_command, tiny, tmp_path):
    ended = train_command(
        *tiny, *MASKS[:2], "augmentation.mixup=true", f"experiment.results_dir={tmp_path}"
    )
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert "augmentation.mixup.probability=0.5" in line
    assert "mask_loss" in line
    assert not list(tmp_path.iterdir())


def test_a_share_of_masks_may_be_for_blackout_alone(compose, tiny):
    from core.running.composition import build, choose_split, read_data

    config = compose(*tiny, "augmentation.blackout=true", "data.mask_fraction=0.3")
    data = read_data(config.data)
    dataset = build(config, data, choose_split(config, data)).task.loaders["train"].dataset
    known = dataset.masks.known
    assert 0 < known.sum() < len(known)
    changed = []
    for position, index in enumerate(dataset.indices):
        batch = dataset.__getitems__([position])
        assert set(batch) == {"image", "labels", "image_id"}
        changed.append((batch["labels"][0].numpy() != data.table.labels[index]).any())
    changed = np.array(changed)
    assert changed[known[dataset.indices]].any()
    assert not changed[~known[dataset.indices]].any()


def test_none_is_nothing(compose):
    from core.augmentation.pipelines import AugmentationPipeline

    assert AugmentationPipeline(compose("augmentation=none").augmentation).record() == []
    chosen = compose("augmentation=none", "augmentation.blackout.fill=mean").augmentation
    assert chosen.blackout.fill == "mean"


@pytest.mark.parametrize("mixing", [[], ["augmentation.cutmix.probability=1"]])
def test_without_transforms_images_are_read_as_if_through_the_pipeline(compose, tiny, mixing):
    config = compose(*tiny, "augmentation=none", "data.cache=memory", *mixing)
    data = read_data(config.data)
    parts = build(config, data, choose_split(config, data))
    dataset = parts.task.loaders["train"].dataset
    assert dataset.transform is None
    found = dataset.__getitems__([3, 1, 2])
    dataset.transform = parts.pipeline
    expected = dataset.__getitems__([3, 1, 2])
    assert found["image_id"] == expected["image_id"]
    assert torch.equal(found["image"], expected["image"])
    assert torch.equal(found["labels"], expected["labels"])
