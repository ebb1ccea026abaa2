"""A training that is interrupted anywhere and resumed ends as one that never stopped."""

import pytest
import torch
from conftest import BFLOAT16, LEARNED_LOSS, LEARNED_MASK_LOSS
from outcomes import differences, outcome, plain, read

from core.training.classification.task import ClassificationTask
from core.training.trainer import Trainer


@pytest.mark.slow
@pytest.mark.parametrize("after_epoch", [2, 3])
def test_interrupted_after_an_epoch(after_epoch, uninterrupted, interrupt, train_command):
    path = interrupt(after_epoch=after_epoch)
    history = read(path)["history"]
    assert len(history) == after_epoch
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == (after_epoch + 1, 0)
    assert resumed["checkpoint"] == "last.pt"
    results = read(path)
    assert "status_message" not in results
    before = sum(record["train"]["duration_seconds"] for record in history)
    assert results["timings"]["training_seconds"] > before
    assert results["experiment"]["command"].startswith("python code/train.py data=synthetic")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 9, 12, 18])
def test_interrupted_within_an_epoch(steps, resumed_exactly):
    path = resumed_exactly(steps=steps)
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert 6 * (resumed["epoch"] - 1) + resumed["step"] == steps


@pytest.mark.slow
def test_learned_loss_weights_and_their_terms_go_on(resumed_exactly):
    path = resumed_exactly(*LEARNED_LOSS, steps=14)
    weights = [record["loss_weights"] for record in read(path)["history"]]
    assert weights[0] != weights[1] != weights[2]


@pytest.mark.slow
def test_a_loss_of_masks_and_its_terms_go_on(resumed_exactly, uninterrupted):
    path = resumed_exactly(*LEARNED_MASK_LOSS, steps=9)
    results = read(path)
    assert {"image_labels", "masks", "masks/focal_loss"} <= set(results["history"][1]["loss_terms"])
    assert results["mask_loss"] == read(uninterrupted(*LEARNED_MASK_LOSS))["mask_loss"]


AVERAGED = ["training.ema_decay=0.9", "training.layer_decay=0.8"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "updates", "place"), [(AVERAGED, 4, (2, 6)), (BFLOAT16, 1, (1, 4))]
)
def test_averaged_and_accumulated_weights_go_on(overrides, updates, place, resumed_exactly):
    more = [*overrides, "training.accumulation_steps=4"]
    path = resumed_exactly(*more, steps=updates)
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == place
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert differences(plain(last["model"]), plain(last["training_model"]))


@pytest.mark.slow
def test_a_stop_between_the_batches_of_one_update_leaves_it_out_whole(
    uninterrupted, with_dropout, train_command, tmp_path, monkeypatch
):
    more = [*AVERAGED, "training.accumulation_steps=2"]
    look, looks = Trainer._stop_where_asked, []

    def ask(self, progress):
        """Asked after batches 1 and 2, and so on; after each pair also behind the update."""
        looks.append(progress.step)
        self.interruption.requested = len(looks) == 4
        look(self, progress)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_stop_where_asked", ask)
        where = f"experiment.results_dir={tmp_path}"
        assert train_command(*with_dropout, *more, where).exit_code == 130
    assert looks == [0, 2, 2, 2]
    (path,) = tmp_path.iterdir()
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert last["num_updates"] == 1
    assert train_command(f"resume={path}").exit_code == 0
    assert read(path)["experiment"]["resumed_at"][0]["step"] == 2
    assert not differences(outcome(uninterrupted(*more)), outcome(path))


@pytest.mark.slow
def test_a_checkpoint_within_an_epoch_is_saved_by_the_clock(
    uninterrupted, train_command, with_dropout, tmp_path, monkeypatch
):
    saved, save = [], Trainer.save

    def count(self, begun=None, **more):
        saved.append(self.learner.num_updates if begun else None)
        save(self, begun, **more)

    monkeypatch.setattr(Trainer, "save", count)
    where = f"experiment.results_dir={tmp_path}"
    ended = train_command(*with_dropout, where, "training.checkpoint_minutes=1e-9")
    assert ended.exit_code == 0, ended.errors
    assert saved == [*range(1, 7), None, *range(7, 13), None, *range(13, 19), None]
    (path,) = tmp_path.iterdir()
    assert not differences(outcome(uninterrupted()), outcome(path))
    saved.clear()
    train_command(*with_dropout, where, "training.checkpoint_minutes=60", "training.num_epochs=1")
    assert saved == [None]


@pytest.mark.slow
def test_early_stopping_remembers(train_command, with_dropout, tmp_path, monkeypatch):
    """Of five epochs the first is the best; with a patience of three the fourth is the last."""
    scores = [0.5, 0.4, 0.3, 0.2, 0.9]
    fixed = {"loss": 1.0, "macro_average_precision": None, "macro_auroc": None, "per_class_f1": {}}

    def validate(self, learner, guard, epoch):
        return {**fixed, "macro_f1": scores[epoch - 1]}

    def stop(self, answers):
        heed(self, answers)
        self.interruption.requested = len(self.progress.history) == 2

    heed = Trainer._heed
    monkeypatch.setattr(ClassificationTask, "validate", validate)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_heed", stop)
        train_command(
            *with_dropout,
            f"experiment.results_dir={tmp_path}",
            "training.num_epochs=5",
            "training.early_stopping_patience=3",
        )
    (path,) = tmp_path.iterdir()
    assert len(read(path)["history"]) == 2
    assert train_command(f"resume={path}").exit_code == 0
    results = read(path)
    assert len(results["history"]) == 4
    assert results["best_epoch"] == results["tested_epoch"] == 1
    refused = train_command(f"resume={path}", "training.num_epochs=9")
    assert refused.exit_code == 2
    assert "stopped early after epoch 4 of 5" in refused.errors
