"""Predicting with a finished experiment: the same probabilities, whatever the images come from."""

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from final_models import change_final_model, read_final_model

import predict
from core.command.mistakes import run_command
from core.errors import InputError
from core.metrics.scaling import Scaling
from core.predicting.trained_model import TrainedModel

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
PROBABILITIES = [f"probability_{name}" for name in NAMES]
DECISIONS = [f"decision_{name}" for name in NAMES]


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `python code/predict.py ARGUMENTS`: exit code, standard error, and the rows."""

    def call(*arguments, output="predictions.csv"):
        file = tmp_path / output
        words = ["predict.py", *map(str, arguments), "--output", str(file)]
        monkeypatch.setattr(sys, "argv", words)
        code = 0
        try:
            run_command(predict.main)
        except SystemExit as ended:
            code = ended.code
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        rows = file if file.suffix != ".csv" or not file.exists() else pd.read_csv(file)
        return code, errors, rows

    return call


def results(experiment: Path) -> dict:
    return json.loads((experiment / "results.json").read_text())


def change(experiment: Path, **sections) -> None:
    (experiment / "results.json").write_text(json.dumps({**results(experiment), **sections}))


def images_of(experiment: Path) -> Path:
    return Path(results(experiment)["data"]["root"]) / "train_images"


def own_test_part(experiment: Path) -> pd.DataFrame:
    table = pd.read_csv(experiment / "predictions.csv")
    return table[table.split == "test"].reset_index(drop=True)


def test_probabilities_are_those_of_the_test(experiment, run):
    expected = own_test_part(experiment)
    paths = [images_of(experiment) / name for name in expected.image_id]
    code, _, rows = run(experiment, *paths, "--batch-size", 3)
    assert code == 0
    assert rows.image.tolist() == [str(path) for path in paths]
    np.testing.assert_allclose(rows[PROBABILITIES], expected[PROBABILITIES], rtol=0, atol=1e-6)
    chosen = [results(experiment)["thresholds"][name] for name in NAMES]
    assert (rows[DECISIONS].to_numpy() == (rows[PROBABILITIES].to_numpy() >= chosen)).all()
    assert rows.error.isna().all()
    assert rows.model.str.startswith(f"{experiment.name}@").all()
    assert rows.thresholds.str.match(r"f1@[0-9a-f]{8}$").all()


def test_folder_glob_and_list_name_the_same_images(experiment, run, monkeypatch):
    folder = images_of(experiment)
    _, _, by_folder = run(experiment, folder)
    _, _, by_glob = run(experiment, folder / "*.jpg")
    listed = "".join(f"{path}\n" for path in sorted(folder.iterdir()))
    monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
    _, _, by_list = run(experiment, "-")
    assert len(by_folder) == 60
    pd.testing.assert_frame_equal(by_glob, by_folder)
    pd.testing.assert_frame_equal(by_list, by_folder)


def test_bad_images_cost_their_own_row_only(experiment, run, tmp_path):
    good = sorted(images_of(experiment).iterdir())[:4]
    no_image, small = tmp_path / "no_image.jpg", tmp_path / "small.png"
    no_image.write_text("text")
    cv2.imwrite(str(small), np.zeros((64, 100), np.uint8))
    paths = [good[0], no_image, good[1], small, tmp_path / "absent.jpg", good[2], good[3]]
    code, _, rows = run(experiment, *paths, "--batch-size", 2)
    _, _, alone = run(experiment, *good)
    assert code == 1
    assert rows.error.notna().tolist() == [False, True, False, True, True, False, False]
    assert rows[rows.error.notna()][PROBABILITIES + DECISIONS].isna().all(axis=None)
    found = rows[rows.error.isna()][PROBABILITIES]
    np.testing.assert_allclose(found, alone[PROBABILITIES], rtol=0, atol=1e-6)
    for word, error in zip(["not an image", "64x100", "absent"], rows.error.dropna(), strict=True):
        assert word in error


def test_strips_of_another_size_are_said_once_with_a_remedy(experiment, tmp_path, capsys):
    strips = tmp_path / "strips"
    strips.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(strips / name), np.zeros((64, 100), np.uint8))
    words = [str(experiment), str(strips), "--output", str(tmp_path / "rows.csv")]
    with pytest.raises(SystemExit) as ended:
        predict.main(words)
    assert ended.value.code == 1
    count, reason, rows = capsys.readouterr().out.splitlines()
    assert count == "2 images, 2 unreadable"
    assert reason.startswith("not read, 2 images: 64x100 pixels (height x width); expected 32x64")
    assert "give it strips of that size, or train one with data.image_size of these" in reason
    assert rows == f"rows: {tmp_path / 'rows.csv'}"


def test_a_calibrated_experiment_predicts_calibrated(experiment, run):
    folder = images_of(experiment)
    change_final_model(experiment, scaling=None, scaled_thresholds=False)
    _, _, plain = run(experiment, folder)
    slopes, intercepts = [2.0, 0.5, 1.5, 1.0], [0.5, -1.0, 0.0, 0.25]
    scaling = {
        name: {"slope": slope, "intercept": intercept}
        for name, slope, intercept in zip(NAMES, slopes, intercepts, strict=True)
    }
    change_final_model(experiment, scaling=scaling)
    _, _, calibrated = run(experiment, folder)
    expected = Scaling(np.array(slopes), np.array(intercepts))(plain[PROBABILITIES].to_numpy())
    np.testing.assert_allclose(calibrated[PROBABILITIES], expected, rtol=0, atol=1e-9)
    # Thresholds are scaled alike: calibration moves no decision.
    pd.testing.assert_frame_equal(calibrated[DECISIONS], plain[DECISIONS])
    # Unless they are for the scaled probabilities already.
    change_final_model(experiment, scaled_thresholds=True)
    _, _, decided_after = run(experiment, folder)
    assert (decided_after[PROBABILITIES] == calibrated[PROBABILITIES]).all(axis=None)
    thresholds = read_final_model(experiment)["thresholds"]
    expected = calibrated[PROBABILITIES].to_numpy() >= np.array([thresholds[n] for n in NAMES])
    np.testing.assert_array_equal(decided_after[DECISIONS].to_numpy(bool), expected)


def test_thresholds_decide(experiment, run):
    folder = images_of(experiment)
    change_final_model(experiment, thresholds=dict.fromkeys(NAMES, 0.0))
    _, _, found = run(experiment, folder)
    change_final_model(experiment, thresholds=dict.fromkeys(NAMES, 1.5))
    _, _, never = run(experiment, folder)
    _, _, half = run(experiment, folder, "--thresholds", "0.5")
    assert found[DECISIONS].all(axis=None)
    assert not never[DECISIONS].any(axis=None)
    assert (half[DECISIONS].to_numpy() == (half[PROBABILITIES].to_numpy() >= 0.5)).all()
    assert set(half.thresholds.astype(str)) == {"0.5"}
    assert len(set(found.thresholds) | set(never.thresholds)) == 2


def test_flips_average_four_views(experiment, run, tmp_path):
    image = cv2.imread(str(sorted(images_of(experiment).iterdir())[0]), cv2.IMREAD_GRAYSCALE)
    views = {
        "as_is": image,
        "down": image[::-1],
        "across": image[:, ::-1],
        "both": image[::-1, ::-1],
    }
    for name, view in views.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), view)
    _, _, each = run(experiment, *(tmp_path / f"{name}.png" for name in views))
    _, _, mean = run(experiment, tmp_path / "as_is.png", "--tta", "flips")
    expected = each[PROBABILITIES].mean()
    assert each[PROBABILITIES].std().max() > 1e-4
    np.testing.assert_allclose(mean[PROBABILITIES].loc[0], expected, rtol=0, atol=1e-6)


def test_an_ensemble_averages_probabilities_and_thresholds(experiment, run, tmp_path):
    other = Path(shutil.copytree(experiment, tmp_path / "other"))
    weights = read_final_model(other)["state_dict"]
    weights[list(weights)[-1]] += torch.tensor([1.0, -1.0, 2.0, 0.5])
    change_final_model(other, state_dict=weights)
    change_final_model(experiment, thresholds=dict.fromkeys(NAMES, 0.2))
    change_final_model(other, thresholds=dict.fromkeys(NAMES, 0.4))
    folder = images_of(experiment)
    (_, _, first), (_, _, second) = run(experiment, folder), run(other, folder)
    _, _, mean = run(experiment, folder, "--ensemble", other)
    expected = (first[PROBABILITIES] + second[PROBABILITIES]) / 2
    assert (first[PROBABILITIES] - second[PROBABILITIES]).abs().min().min() > 1e-3
    np.testing.assert_allclose(mean[PROBABILITIES], expected, rtol=0, atol=1e-6)
    assert (mean[DECISIONS].to_numpy() == (mean[PROBABILITIES].to_numpy() >= 0.3)).all()
    assert mean.model[0] == f"{first.model[0]}+{second.model[0]}"


def test_a_cross_validation_is_the_ensemble_of_its_folds(experiment, run, tmp_path):
    folder = tmp_path / "folds"
    for name, threshold in (("fold_1", 0.2), ("fold_2", 0.6)):
        fold = Path(shutil.copytree(experiment, folder / name))
        thresholds = dict.fromkeys(NAMES, threshold)
        change_final_model(fold, experiment=name, thresholds=thresholds)
    shutil.copy(experiment / "results.json", folder)
    change(folder, folds=[{"name": "fold_1"}, {"name": "fold_2"}])
    images = images_of(experiment)
    _, _, alone = run(experiment, images)
    _, _, mean = run(folder, images)
    np.testing.assert_allclose(mean[PROBABILITIES], alone[PROBABILITIES], rtol=0, atol=1e-12)
    assert (mean[DECISIONS].to_numpy() == (mean[PROBABILITIES].to_numpy() >= 0.4)).all()
    assert mean.model[0].startswith("fold_1@")
    assert "+fold_2@" in mean.model[0]
    with pytest.raises(InputError, match=r"cross-validation of 2 models.*fold_1"):
        TrainedModel(folder)


def test_json_lines_hold_the_same_rows(experiment, run, tmp_path):
    paths = [*sorted(images_of(experiment).iterdir())[:2], tmp_path / "absent.jpg"]
    _, _, rows = run(experiment, *paths)
    code, _, file = run(experiment, *paths, output="rows.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert code == 1
    for line, row in zip(lines[:2], rows.to_dict("records"), strict=False):
        assert line["image"] == row["image"]
        assert line["probabilities"] == {name: row[f"probability_{name}"] for name in NAMES}
        assert line["decisions"] == {name: bool(row[f"decision_{name}"]) for name in NAMES}
        assert (line["model"], line["thresholds"]) == (row["model"], row["thresholds"])
    assert lines[2]["probabilities"] is None
    assert "absent.jpg" in lines[2]["error"]


def test_no_cell_is_a_formula(experiment, run, tmp_path, monkeypatch):
    strip = sorted(images_of(experiment).iterdir())[0]
    names = ["=1+1.jpg", "+1.jpg", "@sum.jpg", "-1.jpg"]
    monkeypatch.chdir(tmp_path)
    for name in names:
        shutil.copy(strip, name)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*names, "=absent"])))
    run(experiment, "-")
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert [row[0] for row in rows[1:]] == [f"'{name}" for name in [*names, "=absent"]]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


BAD = {
    "no experiment": (["nowhere", "IMAGES"], ["nowhere"]),
    "folder without images": (["EXPERIMENT", "EMPTY"], ["empty", "without images", ".jpg"]),
    "glob without images": (["EXPERIMENT", "EMPTY/*.jpg"], ["*.jpg", "matches no image"]),
    "an experiment for images": (["EXPERIMENT", "EXPERIMENT"], ["--ensemble"]),
    "no such folder": (["EXPERIMENT", "EMPTY/none"], ["empty/none", "no such file or folder"]),
    "empty word": (["EXPERIMENT", ""], ["'': no such file or folder"]),
    "name that is too long": (["EXPERIMENT", "x" * 300 + ".jpg"], ["name an image or a folder"]),
    "nothing on standard input": (["EXPERIMENT", "-"], ["-: standard input names no image"]),
    "a model with a name that is too long": (["x" * 300, "IMAGES"], ["give another path"]),
    "standard input twice": (["EXPERIMENT", "-", "-"], ["once"]),
    "other suffix": (["EXPERIMENT", "IMAGES", "--output", "x.xls"], ["x.xls", ".csv or .jsonl"]),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_get_one_line(name, experiment, tmp_path, monkeypatch, capsys):
    words, expected = BAD[name]
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"EXPERIMENT": str(experiment), "EMPTY": str(empty)}
    places["IMAGES"] = str(images_of(experiment))
    for placeholder, place in places.items():
        words = [word.replace(placeholder, place) for word in words]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["predict.py", *words])
    with pytest.raises(SystemExit) as ended:
        run_command(predict.main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in expected), line
    assert not (tmp_path / "predictions.csv").exists()


def test_models_that_do_not_fit_are_not_averaged(experiment, run, tmp_path):
    other = Path(shutil.copytree(experiment, tmp_path / "other"))
    change_final_model(other, image_size=[64, 640])
    code, errors, _ = run(experiment, images_of(experiment), "--ensemble", other)
    assert code == 2
    assert "image_size=[64, 640]" in errors
    assert len(errors.splitlines()) == 1
