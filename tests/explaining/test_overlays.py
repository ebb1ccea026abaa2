"""predict.py --overlay: a picture of each class found, whatever the number of images."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from final_models import change_final_model

import explain
import export
import predict
from core.command.mistakes import run_command
from core.explaining.methods import check_method, heat_maps
from core.explaining.overlays import Overlays
from core.predicting.trained_model import TrainedModel

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    """With thresholds that half of the images pass."""
    folder = Path(shutil.copytree(trained, tmp_path / trained.name))
    table = pd.read_csv(folder / "predictions.csv")
    medians = table[[f"probability_{name}" for name in NAMES]].median()
    change_final_model(folder, thresholds=dict(zip(NAMES, medians.tolist(), strict=True)))
    return folder


@pytest.fixture
def strips(experiment) -> list[Path]:
    root = json.loads((experiment / "results.json").read_text())["data"]["root"]
    return sorted((Path(root) / "train_images").iterdir())


@pytest.mark.slow
def test_each_class_found_has_a_picture(experiment, strips, tmp_path):
    folder, output = tmp_path / "overlays", tmp_path / "predictions.csv"
    strips = strips[:20]
    words = [str(experiment), *map(str, strips), "--output", str(output), "--overlay", str(folder)]
    predict.main(words)
    rows = pd.read_csv(output)
    found = {
        f"{Path(row.image).stem}_{name}.png"
        for row in rows.itertuples()
        for name in NAMES
        if getattr(row, f"decision_{name}")
    }
    assert 0 < len(found) < len(strips) * len(NAMES)
    assert {path.name for path in folder.iterdir()} == {*found, "contact_sheet.jpg"}
    # As explain.py draws it: one code, one picture.
    explained = tmp_path / "explained"
    copies = [str(shutil.copy(path, tmp_path)) for path in strips]
    explain.main([str(experiment), *copies, "--output", str(explained), "--curve-steps", "0"])
    for name in found:
        assert (folder / name).read_bytes() == (explained / name).read_bytes()


def test_thresholds_and_unreadable_images_decide_what_is_drawn(experiment, strips, tmp_path):
    folder, bad = tmp_path / "overlays", tmp_path / "bad.jpg"
    bad.write_text("text")
    words = [str(experiment), str(bad), str(strips[0]), "--overlay", str(folder)]
    output = ["--output", str(tmp_path / "p.csv"), "--thresholds", "0.5"]
    change_final_model(experiment, thresholds=dict.fromkeys(NAMES, 0.0))
    for more in ([], output[2:]):
        shutil.rmtree(folder, ignore_errors=True)
        with pytest.raises(SystemExit) as ended:
            predict.main([*words, *output[:2], *more])
        assert ended.value.code == 1
        row = pd.read_csv(tmp_path / "p.csv").iloc[1]
        count = sum(row[f"decision_{name}"] for name in NAMES)
        assert len(list(folder.glob(f"{strips[0].stem}_*.png"))) == count
        # With nothing found there is nothing to show.
        assert (folder / "contact_sheet.jpg").exists() == (count > 0)
    assert count < len(NAMES)


def test_images_of_one_name_and_of_long_names_keep_their_pictures(experiment, strips, tmp_path):
    change_final_model(experiment, thresholds=dict.fromkeys(NAMES, 0.0))
    places = [tmp_path / part / "same.jpg" for part in ("a", "b", "c")]
    places += [tmp_path / "same_2.jpg", tmp_path / f"{'l' * 240}.jpg"]
    for place, strip in zip(places, strips, strict=False):
        place.parent.mkdir(exist_ok=True)
        shutil.copy(strip, place)
    folder = tmp_path / "overlays"
    output = ["--output", str(tmp_path / "p.csv"), "--overlay", str(folder)]
    predict.main([str(experiment), *map(str, places), *output])
    stems = {path.name.removesuffix("_defect_1.png") for path in folder.glob("*_defect_1.png")}
    assert stems == {"same", "same_2", "same_3", "same_2_2", "l" * 150}
    assert len(list(folder.iterdir())) == len(places) * len(NAMES) + 1
    pictures = [cv2.imread(str(folder / f"{stem}_defect_1.png")) for stem in sorted(stems)]
    own = [picture[-32:, :64] for picture in pictures]  # without the captions
    assert all((a != b).any() for a, b in pairwise(own))


def test_a_model_that_predicts_masks_shows_them(experiment, tmp_path):
    import torch

    from core.models.registry import get_registry

    trained = TrainedModel(experiment, torch.device("cpu"))
    assert Overlays(tmp_path / "plain", trained, trained.signature).method == "hires_cam"
    trained.model = get_registry().instantiate("resnet10_slim", mask_head=True).eval()
    overlays = Overlays(tmp_path / "masks", trained, trained.signature)
    assert overlays.method == "mask_head"
    maps = heat_maps(trained, overlays.method, np.zeros((1, 64, 320), np.uint8))
    assert [heat.values.shape for heat in maps] == [(16, 80)] * len(NAMES)
    check_method(trained, "grad_cam")


@pytest.fixture(scope="module")
def exported(trained, exported_once, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    export.main([str(trained), "--format", "onnx", "--output", str(file)])
    return file


BAD = {
    "exported model": (["EXPORTED", "IMAGES"], "probabilities only: name the experiment"),
    "mean of models": (["EXPERIMENT", "IMAGES", "--ensemble", "EXPERIMENT"], "mean of 2"),
    "folder in use": (["EXPERIMENT", "IMAGES", "--overlay", "EXPERIMENT"], "is not empty"),
    "folder below a file": (["EXPERIMENT", "IMAGES", "--overlay", "EXPORTED/x"], "give another"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_mistakes_get_one_line_and_leave_nothing(
    name, experiment, exported, strips, tmp_path, monkeypatch, capsys
):
    words, expected = BAD[name]
    places = {"EXPORTED": exported, "EXPERIMENT": experiment, "IMAGES": strips[0]}
    for placeholder, place in places.items():
        words = [word.replace(placeholder, str(place)) for word in words]
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: predict.main(["--overlay", "new", *words]))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert list(work.iterdir()) == []
