"""What predict.py replaces: its own files, and others only where --force says so."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

import predict
from core.command.mistakes import run_command


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


@pytest.fixture
def run(experiment, capsys):
    """Predict two strips to a file: the exit code and the last line of the errors."""
    root = json.loads((experiment / "results.json").read_text())["data"]["root"]
    strips = [str(path) for path in sorted((Path(root) / "train_images").iterdir())[:2]]

    def call(output: Path | None, *more: str) -> tuple[int, str]:
        words = [] if output is None else ["--output", str(output)]
        try:
            run_command(lambda: predict.main([str(experiment), *strips, *words, *more]))
            code = 0
        except SystemExit as ended:
            code = ended.code
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) <= 1
        return code, "".join(errors)

    return call


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_its_own_file_is_replaced(name, run, tmp_path):
    file = tmp_path / name
    assert run(file) == (0, "")
    first = file.read_text()
    file.write_text(first + "more")
    assert run(file) == (0, "")
    assert file.read_text() == first


FOREIGN = {
    "split.csv": "image_id,split\na.jpg,train\n",
    "train.csv": "ImageId,ClassId,EncodedPixels\na.jpg,1,1 1\n",
    "labels.csv": "ImageId,pit\na.jpg,1\n",
    "own_columns.csv": "image,probability_pit,decision_pit,model,thresholds,error,reviewed\n",
    "other_class.csv": "image,probability_pit,decision_rust,model,thresholds,error\n",
    "binary.csv": "\0\1\2",
    "quote.csv": '"image',
    "lines.jsonl": '{"image": "a.jpg"}\n',
    "deep.jsonl": "[" * 100_000,
    "text.jsonl": "text\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_kind_is_replaced_by_force_only(name, run, tmp_path):
    file = tmp_path / name
    file.write_text(FOREIGN[name])
    code, line = run(file)
    assert code == 2
    assert f"--output {file}: exists, and this command did not write it" in line
    assert "--force" in line
    assert file.read_text() == FOREIGN[name]
    assert run(file, "--force") == (0, "")
    assert file.read_text() != FOREIGN[name]


@pytest.mark.parametrize("more", [[], ["--force"]])
def test_the_predictions_of_an_experiment_are_never_replaced(more, run, experiment, monkeypatch):
    before = (experiment / "predictions.csv").read_bytes()
    monkeypatch.chdir(experiment)
    code, line = run(None, *more)
    assert code == 2
    assert "predictions that the experiment was tested by: give another file" in line
    assert (experiment / "predictions.csv").read_bytes() == before


def test_a_device_a_folder_and_an_empty_file(run, tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path / "folder.csv"):
        if not place.exists():
            place.mkdir()
        code, line = run(place, "--force")
        assert code == 2
        assert "expected the name of a file" in line
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert run(empty) == (0, "")
    with empty.open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 3
