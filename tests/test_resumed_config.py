"""What may change where a training is resumed, what may not, and which training is found."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import BFLOAT16, REPOSITORY
from outcomes import differences, outcome, read

from core.errors import InputError
from core.predicting import building
from core.running.resuming import FREE, checked_changes, read_config, resumed_config


@pytest.mark.slow
def test_auto_goes_on_in_the_precision_it_began_in(
    uninterrupted, interrupt, train_command, monkeypatch
):
    """Begun where bfloat16 is native, and resumed where it is not."""
    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: True)
    more = [*BFLOAT16, "training.accumulation_steps=4"]
    path = interrupt(*more, "runtime.precision=auto", steps=3)
    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: False)
    assert train_command(f"resume={path}").exit_code == 0
    assert not differences(outcome(uninterrupted(*more)), outcome(path))
    assert read(path)["computation"]["precision"] == "bfloat16"
    assert read(path)["config"]["runtime"]["precision"] == "auto"


@pytest.mark.slow
def test_an_automatic_batch_size_may_be_given_again(
    uninterrupted, interrupt, train_command, monkeypatch
):
    """Found where there is CUDA to try it on, and kept where there is not."""
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_more_epochs_follow_the_schedule_of_the_new_length(
    uninterrupted, with_dropout, train_command, tmp_path
):
    path = Path(shutil.copytree(uninterrupted(), tmp_path / "results" / "copied"))
    ended = train_command(f"resume={path}", "training.num_epochs=5")
    assert ended.exit_code == 0, ended.errors
    results = read(path)
    assert [record["epoch"] for record in results["history"]] == [1, 2, 3, 4, 5]
    assert results["config"]["training"]["num_epochs"] == 5
    assert results["history"][:3] == read(uninterrupted())["history"]
    straight = train_command(
        *with_dropout, "training.num_epochs=5", f"experiment.results_dir={tmp_path / 'straight'}"
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
    "training.learning_rate=0.1": ["training.learning_rate was 0.01, is 0.1"],
    "training.num_epochs=2": ["training.num_epochs was 3, is 2", "may only be raised"],
    "experiment.seed=7": ["experiment.seed was 42, is 7"],
    "loss.type=bce_with_logits": ["(loss.type was focal_loss, is bce_with_logits)"],
    "model.name=resnet50": ["model.name was timm, is resnet50"],
    "augmentation=none": ["augmentation.horizontal_flip"],
    "data.batch_size=4": ["data.batch_size was 8, is 4"],
    "data.batch_size=auto": ["data.batch_size was 8, is auto"],
    "evaluation.confidence=0.5": ["evaluation.confidence was 0.95, is 0.5"],
    "runtime.precision=bfloat16": ["runtime.precision was float32, is bfloat16"],
    "training.ema_decay=0.9": ["training.ema_decay was None, is 0.9"],
    "data.num_images=48": ["data.num_images was 60, is 48"],
}


def test_the_guide_names_every_key_that_may_change():
    guide = (REPOSITORY / "code" / "core" / "running" / "README.md").read_text()
    listed = guide.partition("Keys that may be given")[2].partition("rounds differently")[0]
    assert {key for key in FREE if f"`{key}`" not in listed} == set()


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


@pytest.mark.parametrize("status", ["completed", "interrupted"])
@pytest.mark.parametrize(("patience", "best_epoch"), [(1, 2), (2, 1)])
def test_more_epochs_are_refused_where_patience_ran_out_in_the_last_one(
    status, patience, best_epoch, half_done, train_command, tmp_path
):
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    content = yaml.safe_load((path / "config.yaml").read_text())
    content["training"]["early_stopping_patience"] = patience
    (path / "config.yaml").write_text(yaml.safe_dump(content))
    change_results(path, status=status, best_epoch=best_epoch)
    before = snapshot(path)
    ended = train_command(f"resume={path}", "training.num_epochs=6")
    assert ended.exit_code == 2
    assert "stopped early after epoch 3 of 3, and would again" in ended.errors
    assert snapshot(path) == before
    # So is a run of another kind.
    changed = content | {"training": content["training"] | {"num_epochs": 6}}
    with pytest.raises(InputError, match="stopped early after epoch 3 of 3"):
        checked_changes(path, content, changed, ["training.num_epochs"])
    change_results(path, best_epoch=3)
    assert checked_changes(path, content, changed, ["training.num_epochs"])


@pytest.mark.parametrize("text", ["${oc.env:HOME}/here", "${data.root}", "${oc.env:NONE,a}", "???"])
def test_interpolations_in_a_config_stay_text(text, half_done, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    content = yaml.safe_load((path / "config.yaml").read_text())
    content["data"]["root"] = content["data"]["split_file"] = text
    (path / "config.yaml").write_text(yaml.safe_dump(content))
    assert str(read_config(path).data.root) == text
    config, changed = resumed_config(path, {"data.num_workers": 1})
    assert str(config.data.root) == str(config.data.split_file) == text
    assert list(changed) == ["data.num_workers"]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [100_000, 10**9])
def test_a_network_that_would_build_for_minutes_is_refused(
    depth, half_done, train_command, tmp_path, monkeypatch
):
    # The memory is filled before it is refused, which takes its time.
    monkeypatch.setattr(building, "_MORE_MEMORY", 1 << 30)
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    content = yaml.safe_load((path / "config.yaml").read_text())
    options = {"depths": [2, 2, depth, 2]}
    content["model"] |= {"backbone": "convnext_atto", "backbone_options": options}
    (path / "config.yaml").write_text(yaml.safe_dump(content))
    before, begun = snapshot(path), time.process_time()
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert "last.pt: does not fit the config beside it" in line
    assert len(line) < 600
    assert time.process_time() - begun < building.SECONDS
    assert snapshot(path) == before


def test_nothing_is_begun_where_an_interpolation_leads(
    half_done, train_command, tmp_path, monkeypatch
):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    monkeypatch.setenv("HOME", str(home))
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    content = yaml.safe_load((path / "config.yaml").read_text())
    content["data"] |= {"root": "${oc.env:HOME}/strips", "source": "severstal"}
    (path / "config.yaml").write_text(yaml.safe_dump(content))
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert "${oc.env:HOME}/strips" in line
    assert not home.exists()
    assert not list(elsewhere.iterdir())


BAD_SECTIONS = {
    "no section": {"data": None},
    "a number": {"training": 3},
    "a list": {"model": ["name"]},
    "no name": {"model": {}},
    "a name that is a list": {"loss": {"type": ["focal_loss"]}},
    "text for a mask loss": {"mask_loss": "focal"},
}


@pytest.mark.parametrize("name", BAD_SECTIONS)
def test_a_config_of_another_form_gets_one_line(name, half_done, tmp_path):
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    content = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**content, **BAD_SECTIONS[name]}))
    with pytest.raises(
        InputError, match=rf"config\.yaml: {next(iter(BAD_SECTIONS[name]))}|no such"
    ):
        read_config(path)


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_all_differences_are_listed_and_the_run_s_own_values_may_be_repeated(
    half_done, train_command, with_dropout
):
    given = ["training.learning_rate=0.1", "loss.gamma=3", "data.num_workers=1"]
    ended = train_command(*with_dropout, *given, f"resume={half_done / 'experiment_begun'}")
    assert ended.exit_code == 2
    listed = ended.errors.partition("(")[2].partition(")")[0]
    assert listed == "loss.gamma was 2.0, is 3; training.learning_rate was 0.01, is 0.1"


def test_other_data_are_refused(half_done, train_command, tmp_path):
    path = Path(shutil.copytree(half_done / "experiment_begun", tmp_path / "begun"))
    change_results(path, data={**read(path)["data"], "fingerprint": "another"})
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 2
    assert "is not the data set that" in ended.errors


@pytest.mark.slow
def test_latest_is_the_newest_that_is_not_completed(
    uninterrupted, train_command, tmp_path, monkeypatch
):
    resumed = []
    monkeypatch.setattr(
        "core.running.resuming.continue_training", lambda c, p, **_: resumed.append(p)
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


@pytest.mark.slow
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
