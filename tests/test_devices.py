"""Several processes train one model as one process does, and end together however they end."""

from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import LEARNED_MASK_LOSS
from outcomes import differences, outcome, read
from several_processes import (
    do_together,
    go_on,
    lose_an_image,
    stop_in_the_other_process,
    train_one,
    validate_across,
)

from core.running.composition import train

pytestmark = pytest.mark.slow

# 28 training images in batches of 5, the last one of 3: none can be halved. Of the 6 validation
# images the last one is a batch, which both processes compute.
SMALL = ["data.num_images=40", "data.batch_size=5"]
PLAIN = [
    "training.optimizer=sgd",
    "training.learning_rate=0.05",
    "training.accumulation_steps=4",
    "training.gradient_checkpointing=true",
    "data.num_workers=1",
    "model.backbone=test_convnext",
]
# No loss here is a mean over images, and batches are normalised and mixed.
HARD = [
    "training.optimizer=sgd",
    "training.learning_rate=0.005",
    "training.accumulation_steps=2",
    "training.ema_decay=0.9",
    "data.sampler=balanced",
    "augmentation.cutmix.probability=0.5",
    "data.mask_fraction=0.5",
    "loss.type=compound",
    "loss.components=[{type:focal,alpha:0.25},{type:dice}]",
    "loss.learnable_weights=softmax",
    *LEARNED_MASK_LOSS,
]
# Two epochs, of which the first trains the head and the mask head alone.
HEAD_FIRST = [*HARD, "training.head_epochs=1"]
# The first epoch computes the features of each image alone.
FEATURES = [*PLAIN, "training.head_epochs=1", "augmentation=none", "data.sampler=balanced"]


@pytest.fixture(scope="module")
def results(compose, tiny, tmp_path_factory) -> dict[str, Path]:
    """Folders of what two processes, and one, made of the same configs."""
    folder = tmp_path_factory.mktemp("together")

    def config(name: str, *more: str):
        return compose(*tiny, *SMALL, *more, f"experiment.results_dir={folder / name}")

    dropout = ["model.drop_rate=0.3"]
    jobs = [
        partial(train_one, config("plain_2", *PLAIN)),
        partial(train_one, config("hard_2", *HARD)),
        partial(train_one, config("head_first_2", *HEAD_FIRST)),
        partial(train_one, config("features_2", *FEATURES)),
        partial(train_one, config("whole", *dropout)),
        partial(stop_in_the_other_process, config("stopped", *dropout), 8),
        partial(go_on, folder / "stopped"),
        partial(lose_an_image, config("image", *dropout), 10),
        partial(validate_across, config("folds", "training.folds=3", "training.num_epochs=1")),
    ]
    do_together(config("none"), 2, jobs)
    train(config("plain_1", *PLAIN))
    train(config("hard_1", *HARD))
    train(config("head_first_1", *HEAD_FIRST))
    train(config("features_1", *FEATURES))
    return {path.name: next(path.iterdir()) for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["plain", "hard", "head_first", "features"])
def test_two_processes_train_to_the_weights_of_one(name, results):
    one, two = results[f"{name}_1"], results[f"{name}_2"]
    assert (read(one)["computation"]["devices"], read(two)["computation"]["devices"]) == (1, 2)
    states = [torch.load(path / "checkpoints" / "last.pt") for path in (one, two)]
    averaged = name in ("hard", "head_first")
    for part in ("model", "training_model") if averaged else ("model",):
        torch.testing.assert_close(states[1][part], states[0][part], rtol=1e-4, atol=1e-5)
    histories = [read(path)["history"] for path in (one, two)]
    for alone, together in zip(*histories, strict=True):
        assert numbers(together) == pytest.approx(numbers(alone), rel=1e-4, abs=1e-6)
    assert len(histories[0]) == 2


def numbers(record: dict) -> dict[str, float]:
    """The figures of an epoch that do not tell seconds, by their path."""
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key}/{name}": number for name, number in numbers(value).items()}
        elif not key.endswith(("seconds", "per_second", "share", "phase")) and value is not None:
            flat[key] = value
    return flat


def test_losses_of_all_kinds_were_compared(results):
    record = read(results["hard_2"])["history"][1]
    terms = {"image_labels", "masks", "image_labels/dice_loss", "masks/focal_loss"}
    assert terms <= set(record["loss_terms"])
    assert record["loss_weights"] != read(results["hard_2"])["history"][0]["loss_weights"]


def test_each_process_keeps_the_features_of_its_images(results):
    said = "What is frozen computes the features of each image once"
    assert (results["features_2"] / "train.log").read_text().count(said) == 1
    assert said not in (results["head_first_2"] / "train.log").read_text()


def test_each_image_is_predicted_once(results):
    tables = [(results[name] / "predictions.csv").read_text() for name in ("plain_1", "plain_2")]
    rows = [[line.split(",")[:6] for line in table.splitlines()] for table in tables]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 1 + 6 + 6


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(results):
    assert not differences(outcome(results["whole"]), outcome(results["stopped"]))
    (resumed,) = read(results["stopped"])["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == (2, 2)


def test_an_image_that_one_process_cannot_read_ends_all_and_saves_what_was_learnt(results):
    path = results["image"]
    assert read(path)["status"] == "failed"
    assert read(path)["status_message"] == "InputError: strip_7.jpg: cannot be read"
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert last["epoch_progress"]["progress"]["step"] == last["num_updates"] == 5
    assert (path / "train.log").read_text().count("Failed: ") == 1


def test_folds(results):
    assert read(results["folds"])["test"]["num_images"] == 40
    folds = sorted(path.name for path in results["folds"].glob("fold_*"))
    assert folds == ["fold_1", "fold_2", "fold_3"]
    assert {read(results["folds"] / fold)["computation"]["devices"] for fold in folds} == {2}
