"""A finished experiment, scored again."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from final_models import change_final_model, read_final_model

import evaluate
from core.command.mistakes import run_command
from core.data.annotations import read_label_table
from core.errors import InputError
from core.experiments.reading import read_experiment
from core.experiments.strips import Strips
from core.explaining.true_masks import TrueMasks
from core.predicting.trained_model import TrainedModel
from core.review.overlay import read_corrections
from core.running.reevaluation import reevaluate


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def read(path: Path) -> dict:
    return json.loads((path / "results.json").read_text())


def test_own_test_part_comes_out_the_same_and_old_figures_stay(experiment):
    before = {path.name: path.read_bytes() for path in experiment.iterdir() if path.is_file()}
    first, second = reevaluate(experiment), reevaluate(experiment)
    assert first != second
    old, new = read(experiment), read(first)
    assert new["test"] == old["test"]
    assert new["test_at_thresholds"] == old["test_at_thresholds"]
    table = pd.read_csv(experiment / "predictions.csv")
    again = pd.read_csv(first / "predictions.csv")
    expected = table[table.split == "test"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, expected)
    after = {path.name: path.read_bytes() for path in experiment.iterdir() if path.is_file()}
    assert after == before


def test_a_loss_is_reported_only_where_it_is_the_one_that_was_minimised(experiment):
    assert read(reevaluate(experiment))["loss"] > 0
    results = read(experiment)
    parts = [{"type": "focal_loss"}, {"type": "bce_with_logits"}]
    results["config"]["loss"] = {"type": "compound", "components": parts}
    (experiment / "results.json").write_text(json.dumps(results))
    report = read(reevaluate(experiment))
    assert report["loss"] is None
    assert report["test"] == results["test"]


def test_another_folder_is_scored_whole(experiment, tmp_path, capsys, monkeypatch):
    root = Path(read(experiment)["data"]["root"])
    other = tmp_path / "other"
    shutil.copytree(root, other)
    victim = sorted((other / "train_images").iterdir())[0]
    victim.unlink()
    rows = (other / "train.csv").read_text().splitlines()
    kept = [row for row in rows if not row.startswith(victim.name)]
    (other / "train.csv").write_text("\n".join(kept) + "\n")
    # Of files that the model learned from, none would be scored: other bytes, the same pixels.
    strips = sorted((other / "train_images").iterdir())
    for path in strips:
        path.write_bytes(path.read_bytes() + b"\0")
    copied = [row.replace(strips[0].name, "copy.jpg") for row in kept if strips[0].name in row]
    (other / "train.csv").write_text("\n".join([*kept, *copied]) + "\n")
    shutil.copy(strips[0], other / "train_images" / "copy.jpg")
    monkeypatch.setattr(sys, "argv", ["evaluate.py", str(experiment), "--data-root", str(other)])
    run_command(evaluate.main)
    printed = Path(capsys.readouterr().out.strip().splitlines()[-1].removeprefix("Results: "))
    report = json.loads(printed.read_text())
    assert report["test"]["num_images"] == 60
    # The copy tells no more than its original.
    unit = {"unit": "groups", "num_units": 59}
    assert unit.items() <= report["test"]["intervals"].items()
    assert report["data"]["root"] == str(other)
    assert report["thresholds"] == read(experiment)["thresholds"]


def test_images_that_the_model_learned_from_are_left_out(experiment, tmp_path, caplog):
    root = Path(read(experiment)["data"]["root"])
    parts = read(experiment)["data"]["split"]["parts"]
    own, other = read(reevaluate(experiment)), read(reevaluate(experiment, root))
    assert other["test"] == own["test"]
    num_learned = parts["train"]["num_images"] + parts["validation"]["num_images"]
    assert (own["data"]["num_left_out"], other["data"]["num_left_out"]) == (0, num_learned)
    assert f"{num_learned} of 60 images are left out" in caplog.text
    learned = tmp_path / "learned"
    shutil.copytree(root, learned)
    for image_id in Strips(read_experiment(experiment)).ids("test"):
        (learned / "train_images" / image_id).unlink()
    rows = (root / "train.csv").read_text().splitlines()
    left = {path.name for path in (learned / "train_images").iterdir()}
    kept = [row for row in rows if row.split(",")[0] in left]
    (learned / "train.csv").write_text("\n".join([rows[0], *kept]) + "\n")
    with pytest.raises(InputError, match="the model learned from all of its images"):
        reevaluate(experiment, learned)


def test_what_does_not_fit_is_refused(experiment, tmp_path):
    with pytest.raises(InputError, match="looked for train"):
        reevaluate(experiment, tmp_path)
    model = read_final_model(experiment)["model"]
    change_final_model(experiment, model={**model, "backbone": "test_efficientnet"})
    with pytest.raises(InputError, match=r"model_final\.pt: does not fit model timm"):
        reevaluate(experiment)
    (experiment / "model_final.pt").unlink()
    with pytest.raises(InputError, match="no such checkpoint"):
        reevaluate(experiment)
    results = read(experiment)
    results["status"] = "running"
    (experiment / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match="still running"):
        reevaluate(experiment)


@pytest.fixture
def by_column(trained, completed, tiny, tmp_path) -> Path:
    """An experiment on the strips of `trained`, from a labels.csv with its classes turned round."""
    source = Path(read(trained)["data"]["root"])
    table = read_label_table(source, image_size=(32, 64))
    root = tmp_path / "columns"
    root.mkdir()
    (root / "images").symlink_to(source / "train_images")
    rows = [
        ",".join([image_id, *map(str, labels[::-1])])
        for image_id, labels in zip(table.image_ids, table.labels.tolist(), strict=True)
    ]
    header = ",".join(["ImageId", *table.class_names[::-1]])
    (root / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    own = ["data.source=severstal", f"data.root={root}"]
    return completed(*[word for word in tiny if not word.startswith("data=")], *own)


@pytest.mark.slow
def test_a_table_of_numbers_scores_a_model_of_columns_by_name(by_column, trained, tmp_path):
    experiment = Path(shutil.copytree(by_column, tmp_path / "experiment"))
    root = Path(read(trained)["data"]["root"])
    columns = read(reevaluate(experiment, Path(read(experiment)["data"]["root"])))
    numbers = read(reevaluate(experiment, root))
    assert columns["data"]["class_names"] == ["defect_4", "defect_3", "defect_2", "defect_1"]
    assert numbers["test"] == columns["test"]
    masks = TrueMasks(TrainedModel(experiment), read_corrections, root)
    table = read_label_table(root, image_size=(32, 64))
    for index, path in enumerate(table.image_paths):
        assert masks.of(path).any(axis=(1, 2)).tolist() == table.labels[index, ::-1].tolist()


@pytest.mark.slow
def test_data_that_changed_since_training_are_reported(by_column, tmp_path, caplog):
    experiment = Path(shutil.copytree(by_column, tmp_path / "experiment"))
    root = tmp_path / "changed"
    shutil.copytree(read(experiment)["data"]["root"], root, symlinks=True)
    results = read(experiment)
    results["config"]["data"]["root"] = str(root)
    (experiment / "results.json").write_text(json.dumps(results))
    before = read(reevaluate(experiment))["test"]
    assert "changed since training" not in caplog.text
    table = pd.read_csv(root / "labels.csv")
    # Another order and a further column change no figure.
    table.assign(reviewed=1)[["reviewed", *table.columns[::-1]]].to_csv(root / "labels.csv")
    assert read(reevaluate(experiment))["test"] == before
    assert "not read (reviewed)" in caplog.text
    assert "changed since training" not in caplog.text
    table["defect_2"] = 1 - table["defect_2"]
    table.to_csv(root / "labels.csv", index=False)
    assert read(reevaluate(experiment))["test"] != before
    old = results["data"]["class_counts"]["defect_2"]
    assert f"changed since training (defect_2 {old} -> {60 - old})" in caplog.text


def test_a_model_that_is_gone_is_named_with_its_experiment(experiment):
    content = read(experiment)
    content["config"]["model"]["name"] = "gone"
    (experiment / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"results\.json: config: .*'gone'"):
        reevaluate(experiment)


def test_an_interpolation_in_an_experiment_stays_text(experiment, tmp_path, monkeypatch):
    """Also where another command reads the config from results.json."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    content = read(experiment)
    content["config"]["data"] |= {"root": "${oc.env:HOME}/strips", "source": "severstal"}
    (experiment / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"\$\{oc\.env:HOME\}/strips"):
        reevaluate(experiment)
    assert not (tmp_path / "home").exists()
