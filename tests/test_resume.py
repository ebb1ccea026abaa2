"""A training that is interrupted anywhere and resumed ends as one that never stopped."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from outcomes import differences, outcome, plain, read

from core.training.classification.task import ClassificationTask
from core.training.trainer import Trainer

COMPOUND = [
    "loss.type=compound",
    "loss.components=[{type:bce,weight:0.7},{type:focal,weight:0.3,alpha:0.25,gamma:2}]",
    "loss.learnable_weights=softmax",
]

MASKS = [
    "model.mask_head=true",
    "model.mask_head_width=8",
    "mask_loss.type=compound",
    "mask_loss.components=[{type:focal,reduction:positives},{type:tversky,weight:0.5}]",
    "mask_loss.learnable_weights=softmax",
]


@pytest.fixture(scope="module")
def overrides(tiny) -> list[str]:
    """Three epochs of six steps, with dropout, so that a resumed epoch needs its generators."""
    return [*tiny, "training.num_epochs=3", "model.drop_rate=0.3"]


@pytest.fixture(scope="module")
def uninterrupted(compose, overrides, tmp_path_factory) -> Callable[..., Path]:
    """Folder of a completed training with these overrides; trained once for each set of them."""
    from core.running.composition import train

    known: dict[tuple[str, ...], Path] = {}

    def run(*more: str) -> Path:
        if more not in known:
            results_dir = tmp_path_factory.mktemp("uninterrupted")
            train(compose(*overrides, *more, f"experiment.results_dir={results_dir}"))
            (known[more],) = results_dir.iterdir()
        return known[more]

    return run


@pytest.fixture
def interrupt(train_command, overrides, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Begin a training that is asked to stop after so many steps, and return its folder."""

    def run(*more: str, steps: int = 0, after_epoch: int = 0) -> Path:
        results_dir = tmp_path / "results"
        after_step, publish = Trainer._after_step, Trainer._publish

        def count(self, progress):
            if self.learner.num_updates == steps:
                self.interruption.requested = True
            after_step(self, progress)

        def ask(self):
            publish(self)
            if len(self.progress.history) == after_epoch:
                self.interruption.requested = True

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "_after_step", count)
            patched.setattr(Trainer, "_publish", ask)
            ended = train_command(*overrides, *more, f"experiment.results_dir={results_dir}")
        assert ended.exit_code == 130, ended.errors
        (path,) = results_dir.iterdir()
        assert read(path)["status"] == "interrupted"
        return path

    return run


@pytest.mark.parametrize("after_epoch", [1, 2, 3])
def test_interrupted_after_an_epoch(after_epoch, uninterrupted, interrupt, train_command):
    path = interrupt(after_epoch=after_epoch)
    assert len(read(path)["history"]) == after_epoch
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == (after_epoch + 1, 0)
    assert resumed["checkpoint"] == "last.pt"
    assert "status_message" not in read(path)


@pytest.mark.parametrize("steps", [1, 9, 12, 18])
def test_interrupted_within_an_epoch(steps, uninterrupted, interrupt, train_command):
    path = interrupt(steps=steps)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert 6 * (resumed["epoch"] - 1) + resumed["step"] == steps


@pytest.mark.parametrize("steps", [4, 14])
def test_learned_loss_weights_and_their_terms_go_on(steps, uninterrupted, interrupt, train_command):
    path = interrupt(*COMPOUND, steps=steps)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted(*COMPOUND)), outcome(path))
    weights = [record["loss_weights"] for record in read(path)["history"]]
    assert weights[0] != weights[1] != weights[2]


@pytest.mark.slow
def test_a_loss_of_masks_and_its_terms_go_on(uninterrupted, interrupt, train_command):
    path = interrupt(*MASKS, steps=9)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted(*MASKS)), outcome(path))
    results = read(path)
    assert {"image_labels", "masks", "masks/focal_loss"} <= set(results["history"][1]["loss_terms"])
    assert results["mask_loss"] == read(uninterrupted(*MASKS))["mask_loss"]


FAST = ["runtime.precision=bfloat16", "training.ema_decay=0.9", "training.layer_decay=0.8"]


@pytest.mark.parametrize(
    ("accumulation", "updates", "place"), [(2, 4, (2, 2)), (4, 1, (1, 4)), (4, 4, (2, 6))]
)
def test_averaged_and_accumulated_bfloat16_goes_on(
    accumulation, updates, place, uninterrupted, interrupt, train_command
):
    more = [*FAST, f"training.accumulation_steps={accumulation}"]
    path = interrupt(*more, steps=updates)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted(*more)), outcome(path))
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == place
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert differences(plain(last["model"]), plain(last["training_model"]))


def test_a_stop_between_the_batches_of_one_update_leaves_it_out_whole(
    uninterrupted, overrides, train_command, tmp_path, monkeypatch
):
    more = [*FAST, "training.accumulation_steps=2"]
    look, looks = Trainer._stop_where_asked, []

    def ask(self, progress):
        """Asked after batches 1 and 2, and so on; after each pair also behind the update."""
        looks.append(progress.step)
        self.interruption.requested = len(looks) == 4
        look(self, progress)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_stop_where_asked", ask)
        where = f"experiment.results_dir={tmp_path}"
        assert train_command(*overrides, *more, where).exit_code == 130
    assert looks == [0, 2, 2, 2]
    (path,) = tmp_path.iterdir()
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert last["num_updates"] == 1
    assert train_command(f"resume={path}").exit_code == 0
    assert read(path)["experiment"]["resumed_at"][0]["step"] == 2
    assert not differences(outcome(uninterrupted(*more)), outcome(path))


def test_auto_goes_on_in_the_precision_it_began_in(
    uninterrupted, interrupt, train_command, monkeypatch
):
    """Begun where bfloat16 is native, and resumed where it is not."""
    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: True)
    path = interrupt("runtime.precision=auto", steps=9)
    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: False)
    assert train_command(f"resume={path}").exit_code == 0
    assert not differences(outcome(uninterrupted("runtime.precision=bfloat16")), outcome(path))
    assert read(path)["computation"]["precision"] == "bfloat16"
    assert read(path)["config"]["runtime"]["precision"] == "auto"


def test_an_automatic_batch_size_may_be_given_again(
    uninterrupted, interrupt, train_command, monkeypatch
):
    """FoundCheckpoint where there is CUDA to try it on, and kept where there is not."""
    monkeypatch.setattr(
        "core.running.composition.settle_batch_size",
        lambda config, build: replace(
            config, data=config.data.model_copy(update={"batch_size": 8})
        ),
    )
    path = interrupt("data.batch_size=auto", steps=9)
    assert read(path)["config"]["data"]["batch_size"] == 8
    assert read(path)["experiment"]["settled"] == {"data.batch_size": "auto"}
    ended = train_command(f"resume={path}", "data.batch_size=auto")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    assert read(path)["config"]["data"]["batch_size"] == 8
    assert read(path)["experiment"]["settled"] == {"data.batch_size": "auto"}
    refused = train_command(f"resume={path}", "training.num_epochs=9", "data.batch_size=4")
    assert "data.batch_size was 8, is 4" in refused.errors


def test_the_cache_may_change(uninterrupted, interrupt, train_command, tmp_path):
    path = interrupt(steps=9)
    given = ["data.cache=disk", f"data.cache_dir={tmp_path / 'cache'}"]
    ended = train_command(f"resume={path}", *given)
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    assert read(path)["experiment"]["resumed_at"][0]["changed"]["data.cache"][1] == "disk"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 1)])
def test_workers_may_change(before, after, uninterrupted, interrupt, train_command):
    path = interrupt(f"data.num_workers={before}", steps=9)
    ended = train_command(f"resume={path}", f"data.num_workers={after}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    changed = read(path)["experiment"]["resumed_at"][0]["changed"]
    assert changed == {"data.num_workers": [before, after]}
    assert read(path)["config"]["data"]["num_workers"] == after


def test_a_checkpoint_within_an_epoch_is_saved_by_the_clock(
    uninterrupted, train_command, overrides, tmp_path, monkeypatch
):
    saved, save = [], Trainer.save

    def count(self, begun=None, **more):
        saved.append(self.learner.num_updates if begun else None)
        save(self, begun, **more)

    monkeypatch.setattr(Trainer, "save", count)
    where = f"experiment.results_dir={tmp_path}"
    ended = train_command(*overrides, where, "training.checkpoint_minutes=1e-9")
    assert ended.exit_code == 0, ended.errors
    assert saved == [*range(1, 7), None, *range(7, 13), None, *range(13, 19), None]
    (path,) = tmp_path.iterdir()
    assert not differences(outcome(uninterrupted()), outcome(path))
    saved.clear()
    ended = train_command(*overrides, where, "training.checkpoint_minutes=60")
    assert saved == [None, None, None]


def test_early_stopping_remembers(train_command, overrides, tmp_path, monkeypatch):
    """Of five epochs the first is the best; with a patience of three the fourth is the last."""
    scores = [0.5, 0.4, 0.3, 0.2, 0.9]
    fixed = {"loss": 1.0, "macro_average_precision": None, "macro_auroc": None, "per_class_f1": {}}

    def validate(self, learner, guard, epoch):
        return {**fixed, "macro_f1": scores[epoch - 1]}

    def stop(self):
        publish(self)
        self.interruption.requested = len(self.progress.history) == 2

    publish = Trainer._publish
    monkeypatch.setattr(ClassificationTask, "validate", validate)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_publish", stop)
        train_command(
            *overrides,
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


def test_seconds_of_all_processes_are_summed(interrupt, train_command):
    path = interrupt(after_epoch=2)
    first = sum(record["train"]["duration_seconds"] for record in read(path)["history"])
    train_command(f"resume={path}")
    assert read(path)["timings"]["training_seconds"] > first
    assert read(path)["experiment"]["command"].startswith("python code/train.py data=synthetic")


def test_more_epochs_follow_the_schedule_of_the_new_length(
    uninterrupted, overrides, train_command, tmp_path
):
    path = Path(shutil.copytree(uninterrupted(), tmp_path / "results" / "copied"))
    ended = train_command(f"resume={path}", "training.num_epochs=5")
    assert ended.exit_code == 0, ended.errors
    results = read(path)
    assert [record["epoch"] for record in results["history"]] == [1, 2, 3, 4, 5]
    assert results["config"]["training"]["num_epochs"] == 5
    assert results["history"][:3] == read(uninterrupted())["history"]
    straight = train_command(
        *overrides, "training.num_epochs=5", f"experiment.results_dir={tmp_path / 'straight'}"
    )
    assert straight.exit_code == 0
    (other,) = (tmp_path / "straight").iterdir()
    rates = [[record["learning_rate"] for record in read(p)["history"]] for p in (path, other)]
    assert rates[0][3:] == rates[1][3:]
    assert rates[0][:3] != rates[1][:3]
    refused = train_command(f"resume={path}")
    assert "is completed, nothing is left to do" in refused.errors


@pytest.fixture(scope="module")
def half_done(uninterrupted, tmp_path_factory) -> Path:
    """A results folder with one unfinished experiment; only for what is refused."""
    results_dir = tmp_path_factory.mktemp("half_done")
    path = Path(shutil.copytree(uninterrupted(), results_dir / "experiment_begun"))
    change_results(path, status="interrupted")
    return results_dir


def change_results(path: Path, **sections) -> None:
    results = read(path)
    (path / "results.json").write_text(json.dumps({**results, **sections}))


REFUSED = {
    "training.learning_rate=0.1": ["training.learning_rate was 0.002, is 0.1"],
    "training.num_epochs=2": ["training.num_epochs was 3, is 2", "may only be raised"],
    "experiment.seed=7": ["experiment.seed was 42, is 7"],
    "loss.type=bce_with_logits": ["loss.type was focal_loss, is bce_with_logits"],
    "model.name=resnet50": ["model.name was timm, is resnet50"],
    "augmentation=none": ["augmentation.horizontal_flip"],
    "data.batch_size=4": ["data.batch_size was 8, is 4"],
    "data.batch_size=auto": ["data.batch_size was 8, is auto"],
    "evaluation.confidence=0.5": ["evaluation.confidence was 0.95, is 0.5"],
    "runtime.precision=bfloat16": ["runtime.precision was float32, is bfloat16"],
    "training.ema_decay=0.9": ["training.ema_decay was None, is 0.9"],
    "data.num_images=48": ["data.num_images was 60, is 48"],
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_would_change_the_result_is_refused(override, half_done, train_command):
    before = snapshot(half_done)
    ended = train_command(
        "resume=experiment_begun", f"experiment.results_dir={half_done}", override
    )
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert all(words in line for words in REFUSED[override]), line
    assert snapshot(half_done) == before


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_all_differences_are_listed_and_the_run_s_own_values_may_be_repeated(
    half_done, train_command, overrides
):
    given = ["training.learning_rate=0.1", "loss.gamma=3", "data.num_workers=1"]
    ended = train_command(*overrides, *given, f"resume={half_done / 'experiment_begun'}")
    assert ended.exit_code == 2
    listed = ended.errors.partition("(")[2].partition(")")[0]
    assert listed == "loss.gamma was 2.0, is 3; training.learning_rate was 0.002, is 0.1"


def test_other_data_are_refused(half_done, train_command, tmp_path):
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    change_results(path, data={**read(path)["data"], "fingerprint": "another"})
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 2
    assert "is not the data set that" in ended.errors


def test_latest_is_the_newest_that_is_not_completed(
    uninterrupted, train_command, tmp_path, monkeypatch
):
    resumed = []
    monkeypatch.setattr(
        "core.running.resuming.continue_training", lambda c, d, p, **_: resumed.append(p)
    )
    where = f"experiment.results_dir={tmp_path}"
    times = {"older": "2026-03-04T12:00:00+00:00", "newer": "2026-03-04T13:30:00+01:00"}
    times["newest_but_completed"] = "2026-03-05T12:00:00+00:00"
    for name, created_at in times.items():
        path = Path(shutil.copytree(uninterrupted(), tmp_path / name))
        status = "completed" if "completed" in name else "running"
        change_results(path, status=status, experiment={"created_at": created_at})
    assert train_command("resume=latest", where).exit_code == 0
    assert resumed == [tmp_path / "newer"]
    (tmp_path / "newer" / "results.json").write_text("{cut o")  # its age is that of config.yaml
    assert train_command("resume=latest", where).exit_code == 0
    assert resumed[1:] == [tmp_path / "newer"]


def test_an_experiment_may_be_moved_to_another_place(
    uninterrupted, interrupt, train_command, tmp_path, tiny
):
    path = interrupt(steps=9)
    data = next(value for value in tiny if value.startswith("data.root=")).partition("=")[2]
    moved_data = shutil.copytree(data, tmp_path / "moved" / "data")
    moved = Path(shutil.move(path, tmp_path / "moved" / "here"))
    ended = train_command(f"resume={moved}", f"data.root={moved_data}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(moved))
    assert read(moved)["experiment"]["name"] == "here"
    assert str(path) not in (moved / "results.json").read_text().replace(str(moved_data), "")
