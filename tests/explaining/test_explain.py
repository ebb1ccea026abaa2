"""The whole of explain.py: pictures, scores, and what it refuses."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from installed_fonts import installed, write_chinese_font

import explain
from core.command.mistakes import run_command
from core.experiments.drawing import OUTLINE, outlined, overlay
from core.explaining.album import Album, Explanation
from core.explaining.methods import HeatMap
from core.explaining.pictures import (
    PAPER,
    TEXT_HEIGHT,
    TEXT_MARGIN,
    WIDEST_CAPTION,
    captioned,
    contact_sheet,
)
from core.explaining.scores import FIGURES

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def results(experiment: Path) -> dict:
    return json.loads((experiment / "results.json").read_text())


def read(folder: Path) -> dict:
    return json.loads((folder / "explanation.json").read_text())


def defective_test_strips(experiment: Path) -> pd.DataFrame:
    table = pd.read_csv(experiment / "predictions.csv")
    table = table[table.split == "test"].sort_values("image_id").set_index("image_id")
    return table[table[[f"label_{name}" for name in NAMES]].any(axis=1)]


@pytest.mark.parametrize("method", ["grad_cam", pytest.param("hires_cam", marks=pytest.mark.slow)])
def test_test_strips_are_drawn_and_scored(method, experiment, caplog):
    caplog.set_level("INFO")
    expected = defective_test_strips(experiment)
    explain.main([str(experiment), "--method", method, "--curve-steps", "2"])
    folder = experiment / f"explanation_{method}"
    pictures = {f"{Path(name).stem}_{cls}.png" for name in expected.index for cls in NAMES}
    assert {path.name for path in folder.glob("*.png")} == pictures
    assert (folder / "contact_sheet.jpg").is_file()
    report = read(folder)
    assert [Path(row["image"]).name for row in report["images"]] == list(expected.index)
    for row, (_, old) in zip(report["images"], expected.iterrows(), strict=True):
        found = [row["probabilities"][name] for name in NAMES]
        wanted = [old[f"probability_{name}"] for name in NAMES]
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert row["shown"] == [name for name in NAMES if old[f"label_{name}"]]
    maps = report["scores"]["maps"]
    assert set(maps) == {method, "random map", "centre map"}
    for scores in maps.values():
        for name in NAMES:
            row = scores["per_class"][name]
            assert row["num_images"] == expected[f"label_{name}"].sum()
            assert 0 <= row["energy_inside"] <= 1
            assert len(row["deletion_curve"]) == 3
    lines = caplog.text.splitlines()
    (row,) = [line.split() for line in lines if line.startswith(f"{method} ")]
    macro = maps[method]["macro"]
    assert row[1:] == [f"{macro[figure]:.3f}" for figure in FIGURES]
    report_page = (experiment / "report.html").read_text()
    assert f"explanation_{method}: {method}" in report_page
    # Another time, another folder.
    explain.main([str(experiment), "--method", method, "--curve-steps", "0"])
    again = read(experiment / f"explanation_{method}_2")
    assert again["scores"]["maps"][method]["macro"]["deletion"] is None
    pointing = [r["scores"]["maps"][method]["macro"]["pointing_accuracy"] for r in (report, again)]
    assert pointing[0] == pointing[1]


def test_the_default_method_is_that_of_overlays(experiment, monkeypatch, caplog):
    image = Path(results(experiment)["data"]["root"]) / "train_images"
    image = image / defective_test_strips(experiment).index[0]
    monkeypatch.setattr("core.explaining.explaining.default_method", lambda trained: "grad_cam")
    (experiment / "predictions.csv").unlink()  # without which there is no report
    explain.main([str(experiment), str(image), "--curve-steps", "0"])
    assert read(experiment / "explanation_grad_cam")["method"] == "grad_cam"
    assert "report.html was not updated" in caplog.text


def test_images_from_elsewhere_have_no_masks(experiment, tmp_path):
    folder = Path(results(experiment)["data"]["root"]) / "train_images"
    for name, target in (("one", "a"), ("two", "b")):
        (tmp_path / target).mkdir()
        shutil.copy(sorted(folder.iterdir())[len(name) % 2], tmp_path / target / "same.jpg")
    images = [str(tmp_path / target / "same.jpg") for target in ("a", "b")]
    explain.main([str(experiment), *images, "--output", str(tmp_path / "maps")])
    report = read(tmp_path / "maps")
    assert report["scores"] is None
    assert [row["shown"] for row in report["images"]] == [None, None]
    # Two images of one name keep a picture each.
    assert (tmp_path / "maps" / "same_defect_1.png").exists()
    assert (tmp_path / "maps" / "same_2_defect_1.png").exists()


BAD = {
    "method that the model has not": (["--method", "cbam"], "cbam_stages"),
    "no masks predicted": (["--method", "mask_head"], "mask_head=true"),
    "image that cannot be read": (["BAD"], "not an image"),
    "image that cannot be decoded": (["DAMAGED", "--output", "NEW"], "cannot be decoded"),
    "image of another size": (["OTHER"], "the only size that this model takes"),
    "folder that is in use": (["--output", "USED"], "is not empty"),
    "a second experiment": (["EXPERIMENT"], "explain one experiment at a time"),
    "data set without labels": (["--data-root", "USED"], "looked for train.csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_get_one_line_and_leave_nothing(name, experiment, tmp_path, capsys):
    words, expected = BAD[name]
    names = {"BAD": "bad.jpg", "DAMAGED": "damaged.png", "OTHER": "other.png"}
    places = {word: tmp_path / file for word, file in names.items()}
    places |= {"USED": tmp_path / "used", "NEW": tmp_path / "new", "EXPERIMENT": experiment}
    used = places["USED"]
    used.mkdir()
    (used / "file").write_text("")
    places["BAD"].write_text("text")
    cv2.imwrite(str(places["OTHER"]), np.zeros((32, 100), np.uint8))
    content = cv2.imencode(".png", np.zeros((32, 64), np.uint8))[1].tobytes()
    # Its header and its end are whole; its pixels are not.
    places["DAMAGED"].write_bytes(content.replace(b"IDAT", b"IDAX"))
    words = [str(places.get(word, word)) for word in words]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: explain.main([str(experiment), *words]))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not list(experiment.glob("explanation*"))
    assert not places["NEW"].exists()
    assert [path.name for path in used.iterdir()] == ["file"]


def test_experiments_without_masks_at_hand(experiment, tmp_path, capsys):
    content = results(experiment)
    content["data"]["root"] = str(tmp_path / "gone")
    (experiment / "results.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: explain.main([str(experiment)]))
    assert ended.value.code == 2
    assert "name images, or give --data-root" in capsys.readouterr().err


def test_cold_stays_grey_and_hot_does_not():
    grey = np.full((20, 40), 100, np.uint8)
    heat = np.zeros((20, 40), np.float32)
    heat[5, 7] = 2
    picture = overlay(grey, heat, None)
    assert (picture[heat == 0] == 100).all()
    assert (picture[5, 7] != 100).any()
    assert (overlay(grey, np.full_like(heat, 3), None) == 100).all()
    # On a scale of its own, a weak map stays cold, and what passes the scale is hot.
    assert (overlay(grey, heat / 1000, None, (0, 1)) == 100).all()
    assert (overlay(grey, heat, None, (0, 1)) == picture).all()


def test_an_outline_covers_nothing_of_its_mask():
    picture = np.zeros((20, 40, 3), np.uint8)
    mask = np.zeros((20, 40), np.uint8)
    mask[8:12, 10:20] = 1
    drawn = (outlined(picture, mask) == OUTLINE).all(axis=2)
    assert not drawn[mask > 0].any()
    assert drawn[7, 12]
    assert not drawn[5, 12]
    assert not picture.any()


def test_a_sheet_holds_every_picture_whole():
    blocks = [[np.full((10, 300, 3), value + i, np.uint8) for i in range(2)] for value in (50, 90)]
    sheet = contact_sheet([*blocks, [np.full((30, 300, 3), 200, np.uint8)]])
    for value, area in ((50, 3000), (51, 3000), (90, 3000), (91, 3000), (200, 9000)):
        assert (sheet == value).all(axis=2).sum() == area


def test_a_map_with_a_scale_is_drawn_on_it(tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr(
        "core.explaining.album.captioned", lambda picture, text: texts.append(text) or picture
    )
    heat = HeatMap("defect_1", 0, np.eye(4, dtype=np.float32) / 1000, (0.0, 1.0))
    image = np.full((1, 64, 320), 128, np.uint8)
    album = Album(tmp_path, "mask_head", NAMES, [0.5] * len(NAMES))
    album.add(Explanation(Path("weak.jpg"), image, np.full(len(NAMES), 0.5), [heat], None))
    assert texts[-1].endswith("colours from 0 to 1")
    assert (cv2.imread(str(tmp_path / "weak_defect_1.png")) == 128).all()


@pytest.mark.slow
def test_a_sheet_too_high_for_its_format_is_made_smaller(tmp_path):
    album = Album(tmp_path, "hires_cam", NAMES, [0.5] * len(NAMES))
    heat = HeatMap("defect_1", 0, np.eye(4, dtype=np.float32))
    image = np.full((1, 40_000, 32), 128, np.uint8)
    album.add(Explanation(Path("high.jpg"), image, np.full(len(NAMES), 0.5), [heat], None))
    album.finish()
    sheet = cv2.imread(str(tmp_path / "contact_sheet.jpg"))
    assert 65_000 < len(sheet) <= 65_500


def test_a_caption_is_broken_where_the_picture_is_narrow():
    text = "hires_cam  defect_1   p = 0.123 (threshold 0.456)   colours from 0 to 0.0123   naïve"
    for width, lines in ((1600, 1), (320, 3)):
        strip = np.full((10, width, 3), 200, np.uint8)
        picture = captioned(strip, text)
        assert len(picture) == 10 + lines * TEXT_HEIGHT
        assert (picture[-10:] == strip).all()
        # Nothing of it is cut off at the right.
        assert (picture[:-10, -TEXT_MARGIN:] == PAPER).all()


def test_a_picture_that_is_narrower_than_its_caption_stands_on_wider_paper():
    strip = np.full((10, 64, 3), 200, np.uint8)
    picture = captioned(strip, "exp1_num_108719.jpg   score 0.6222   alarm")
    assert (picture[-10:, :64] == strip).all()
    assert (picture[-10:, 64:] == PAPER).all()
    assert (picture[:-10, -TEXT_MARGIN:] == PAPER).all()
    assert captioned(strip, 255 * "x").shape[1] == WIDEST_CAPTION
    assert captioned(strip, 255 * "x", widest=64).shape[1] == 64


def test_a_class_whose_letters_no_font_has_is_called_by_its_number(tmp_path, caplog):
    names, pictures = ["Riß", "裂纹"], []
    font = write_chinese_font(tmp_path / "f.ttf")
    for number, (fonts, titles) in enumerate((((), ["Riß", "class 2"]), ((font,), names))):
        folder = tmp_path / str(number)
        folder.mkdir()
        caplog.clear()
        with installed(*fonts):
            album = Album(folder, "hires_cam", names, [0.5, 0.5])
            assert album.titles == titles
            lines = [record.getMessage() for record in caplog.records]
            assert ["class 2 is 裂纹" in line for line in lines] == [True] * (not fonts)
            heat = HeatMap("裂纹", 1, np.eye(4, dtype=np.float32))
            image = np.full((1, 64, 640), 128, np.uint8)
            album.add(Explanation(Path("黑点.jpg"), image, np.full(2, 0.5), [heat], None))
        pictures.append(cv2.imread(str(folder / "黑点_裂纹.png")))
    without, with_font = pictures
    assert (without[:TEXT_HEIGHT] != with_font[:TEXT_HEIGHT]).any()
    assert (without[TEXT_HEIGHT:] == with_font[TEXT_HEIGHT:]).all()
