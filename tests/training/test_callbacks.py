"""The callbacks: when a training stops early, and which checkpoints are kept."""

import pytest
from task_examples import EXAMPLES, SETTINGS, build

from core.experiments.folder import ExperimentFolder
from core.files.checkpoint import load_checkpoint, save_checkpoint
from core.training.callbacks import Callback, EarlyStopping, ModelCheckpoint
from core.training.checkpoint import Checkpoints, restore
from core.training.trainer import Trainer

NAME = "classification"
assert NAME in EXAMPLES


def trainer_in(path, *callbacks, num_epochs=3) -> Trainer:
    """A trainer of a tiny task, continued from the newest checkpoint where there is one."""
    found = Checkpoints(path / "checkpoints").newest()
    learner, task = build(NAME)
    if found.state:
        restore(learner, found.state, found.file)
    settings = SETTINGS.model_copy(update={"num_epochs": num_epochs})
    folder = ExperimentFolder.at(path)
    trainer = Trainer(learner, task, folder, settings=settings, callbacks=callbacks)
    if found.state:
        trainer.continue_from(found.state)
    return trainer


@pytest.mark.parametrize(
    ("epoch", "best_epoch", "stops"), [(2, 2, False), (3, 2, False), (4, 2, True), (5, 2, True)]
)
def test_early_stopping_counts_the_epochs_since_the_best(epoch, best_epoch, stops):
    callback = EarlyStopping(patience=2)
    assert callback.on_epoch_end({"epoch": epoch}, best_epoch) is stops
    history = [{"epoch": number + 1} for number in range(epoch)]
    assert callback.on_resume(history, best_epoch) is stops


def test_any_callback_may_stop_a_training(tmp_path):
    class AfterTwo(Callback):
        def on_epoch_end(self, record, best_epoch):
            return record["epoch"] == 2

    results = trainer_in(tmp_path, Callback(), AfterTwo(), Callback()).fit()
    assert len(results["history"]) == 2


@pytest.mark.slow
def test_every_second_checkpoint_is_kept(tmp_path):
    folder = tmp_path / "checkpoints"
    trainer_in(tmp_path, ModelCheckpoint(folder, every_n_epochs=2), num_epochs=3).fit()
    assert [file.name for file in folder.glob("epoch_*")] == ["epoch_0002.pt"]
    # A resumed training keeps the files of earlier epochs, and goes on with the later ones.
    kept = (folder / "epoch_0002.pt").read_bytes()
    trainer_in(tmp_path, ModelCheckpoint(folder, every_n_epochs=2), num_epochs=4).fit()
    assert (folder / "epoch_0002.pt").read_bytes() == kept
    for epoch in (2, 4):
        assert len(load_checkpoint(folder / f"epoch_{epoch:04d}.pt")["history"]) == epoch


def test_an_epoch_that_a_kill_left_out_is_kept_on_resuming(tmp_path):
    folder = tmp_path / "checkpoints"
    trainer_in(tmp_path, num_epochs=2).fit()
    trainer_in(tmp_path, ModelCheckpoint(folder, every_n_epochs=2), num_epochs=2)
    kept = folder / "epoch_0002.pt"
    assert kept.read_bytes() == (folder / "last.pt").read_bytes()
    # Within the next epoch, last.pt is no longer that of the second.
    kept.unlink()
    state = load_checkpoint(folder / "last.pt") | {"epoch_progress": {"step": 1}}
    save_checkpoint(folder / "last.pt", state)
    history = [{"epoch": 1}, {"epoch": 2}]
    ModelCheckpoint(folder, every_n_epochs=2).on_resume(history, best_epoch=1)
    assert not kept.exists()
