"""An experiment from elsewhere whose class names lead out of its folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from final_models import change_final_model, read_final_model

import evaluate
import explain
import export
import predict
from core.command.mistakes import run_command
from core.errors import InputError
from core.experiments.reading import read_experiment
from core.explaining.album import Album, Explanation
from core.explaining.methods import HeatMap
from core.predicting.signature import Signature

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
HOSTILE = "x/../../../victim"


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "in" / trained.name))


def renamed(value, name: str):
    """The value with the first class called `name`, wherever it is mentioned."""
    if isinstance(value, dict):
        return {renamed(key, name): renamed(item, name) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [renamed(item, name) for item in value]
    return name if isinstance(value, str) and value == NAMES[0] else value


def rename_in_results(experiment: Path, name: str) -> None:
    content = json.loads((experiment / "results.json").read_text())
    (experiment / "results.json").write_text(json.dumps(renamed(content, name)))


def rename_in_model(experiment: Path, name: str) -> None:
    content = read_final_model(experiment)
    weights = content.pop("state_dict")
    change_final_model(experiment, **renamed(content, name), state_dict=weights)


def strip_of(experiment: Path) -> Path:
    root = json.loads((experiment / "results.json").read_text())["data"]["root"]
    return sorted((Path(root) / "train_images").iterdir())[0]


COMMANDS = {
    "overlay": lambda e, s, out: predict.main(
        [str(e), str(s), "--output", str(out / "p.csv"), "--overlay", str(out / "o")]
    ),
    "explain": lambda e, s, out: explain.main([str(e), str(s), "--curve-steps", "0"]),
    "export": lambda e, s, out: export.main([str(e), "--format", "torchscript"]),
    "evaluate": lambda e, s, out: evaluate.main([str(e)]),
}


@pytest.mark.parametrize("rename", [rename_in_results, rename_in_model])
@pytest.mark.parametrize("command", COMMANDS)
def test_class_names_that_lead_elsewhere_are_refused(command, rename, experiment, tmp_path, capsys):
    strip = strip_of(experiment)
    rename(experiment, HOSTILE)
    victim = tmp_path / "victim.png"
    victim.write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: COMMANDS[command](experiment, strip, tmp_path))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "class name" in line
    assert "without slashes" in line
    assert sorted(tmp_path.rglob("*")) == before
    assert victim.read_text() == "precious"


def test_an_exported_model_with_such_a_name_is_refused():
    values = {
        "model": "m@1", "class_names": ["pit", HOSTILE], "image_size": [64, 320], "channels": 1,
        "thresholds": [0.5, 0.5], "threshold_version": "f1@1",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"model\.onnx: .*without slashes"):
        Signature.from_json(json.dumps(values), "model.onnx")


def test_a_fold_that_lies_elsewhere_is_refused(experiment):
    content = json.loads((experiment / "results.json").read_text())
    content["folds"] = [{"name": "fold_1"}, {"name": "../other"}]
    (experiment / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"fold '\.\./other'; expected the name of a folder"):
        read_experiment(experiment)


def test_pictures_stay_in_their_folder_whatever_the_names(tmp_path):
    """Even past the readers: no file name is made of a name without `file_names`."""
    names = [HOSTILE, "x_.._.._.._victim", "/absolute", "..", "n" * 300]
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    maps = [HeatMap(name, c, np.eye(4, dtype=np.float32)) for c, name in enumerate(names)]
    album = Album(folder, "hires_cam", names, [0.5] * len(names))
    image = np.full((1, 32, 64), 128, np.uint8)
    for path in ("strip.jpg", "..", "a/.jpg"):
        album.add(Explanation(Path(path), image, np.full(len(names), 0.5), maps, None))
    album.finish()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {folder}
    assert len(files) == 3 * len(names) + 1
