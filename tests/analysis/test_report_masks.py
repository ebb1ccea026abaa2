"""Overlays of predicted masks: drawn where they belong, absent where a file is."""

import base64
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from core.analysis.kept_masks import read_mistakes, with_outlines
from core.analysis.report_maps import MOST_EXAMPLES, localization, where_it_looks
from core.analysis.strips import PICTURE_WIDTH
from core.experiments.strips import ImageFolder

FIGURES = {"dice": 0.5, "dice_with_defect": 0.4, "iou": 0.3, "pointing_accuracy": None}


@pytest.fixture
def experiment(tmp_path):
    masks = tmp_path / "experiment" / "masks"
    masks.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    image = np.full((64, 128), 100, np.uint8)
    truth = np.zeros((64, 128), np.uint8)
    truth[16:32, 32:64] = 255
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    cv2.imwrite(str(masks / "p.png"), cv2.resize(truth, (32, 16)))
    cv2.imwrite(str(masks / "t.png"), truth)
    mistake = {"image_id": "a.png", "predicted": "p.png", "truth": "t.png"}
    (masks / "mistakes.json").write_text(json.dumps([mistake]))
    entry = {"image_id": "a.png", "class_name": "<pit>", "dice": 0.5, "peak_inside": True}
    entry |= {"predicted": "p.png", "truth": "t.png"}
    (masks / "examples.json").write_text(json.dumps([entry]))
    test = {"localization": {"macro": FIGURES, "per_class": {"<pit>": FIGURES}}}
    return SimpleNamespace(
        path=tmp_path / "experiment",
        look_up=lambda *keys: test.get(keys[-1]) if keys[0] == "test" else None,
    )


def test_the_section_holds_figures_and_pictures(experiment, tmp_path):
    html = localization(experiment, ImageFolder(tmp_path))
    assert "&lt;pit&gt;" in html
    assert "<pit>" not in html
    _, _, picture = html.partition("data:image/jpeg;base64,")
    content = np.frombuffer(base64.b64decode(picture.partition('"')[0]), np.uint8)
    blue, _, red = cv2.imdecode(content, cv2.IMREAD_COLOR)[24, 48]
    assert red > blue, "where the defect is predicted, the strip is coloured"
    assert "peak inside the mask" in html
    assert "0.400" in html


def test_without_its_image_an_example_says_so(experiment, tmp_path):
    (tmp_path / "images" / "a.png").unlink()
    assert "image not found" in localization(experiment, ImageFolder(tmp_path))


def test_without_examples_the_figures_stand_alone(experiment, tmp_path):
    (experiment.path / "masks" / "examples.json").write_text("{")
    html = localization(experiment, ImageFolder(tmp_path))
    assert "0.400" in html
    assert "<figure" not in html


def test_a_model_without_masks_says_so(tmp_path):
    plain = SimpleNamespace(path=tmp_path, look_up=lambda *_: None)
    assert "predicts no masks" in where_it_looks(plain, ImageFolder(tmp_path))


def cyan_and_orange(picture):
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    return (blue > 200) & (red < 60), (red > 200) & (blue < 60) & (green > 100)


def test_a_mistake_has_both_outlines(experiment, tmp_path):
    image = np.full((64, 128), 100, np.uint8)
    predicted = np.zeros((16, 32), np.uint8)
    predicted[8:12, 20:28] = 200
    cv2.imwrite(str(experiment.path / "masks" / "p.png"), predicted)
    (kept,) = read_mistakes(experiment).values()
    cyan, orange = cyan_and_orange(with_outlines(experiment, image, kept))
    assert cyan[14:16, 32:64].all()
    assert not cyan[16:32, 32:64].any()
    rows, columns = np.nonzero(orange)
    assert 25 < rows.min() < rows.max() < 55
    assert 70 < columns.min() < columns.max() < 120
    # The true mask alone, where the model predicts none or its file is gone.
    for name in (None, "gone.png"):
        alone = kept.model_copy(update={"predicted": name})
        cyan, orange = cyan_and_orange(with_outlines(experiment, image, alone))
        assert cyan.any()
        assert not orange.any()


def test_a_thin_mask_on_a_wide_image_keeps_its_outline(experiment):
    image, truth = np.full((64, 8192), 100, np.uint8), np.zeros((64, 8192), np.uint8)
    truth[30:32, 4000:4003] = 255
    cv2.imwrite(str(experiment.path / "masks" / "t.png"), truth)
    (kept,) = read_mistakes(experiment).values()
    picture = with_outlines(experiment, image, kept)
    assert picture.shape[1] <= PICTURE_WIDTH
    assert cyan_and_orange(picture)[0].any()


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_an_image_is_resized_as_its_masks_are(experiment, mode):
    """The image is half as high as the model took it, and letterboxed in the middle."""
    read = SimpleNamespace(
        path=experiment.path, look_up=lambda *keys: mode if keys[-1] == "resize_mode" else None
    )
    (kept,) = read_mistakes(read).values()
    image = np.full((32, 128), 100, np.uint8)
    picture = with_outlines(read, image, kept)
    assert picture.shape == (64, 128, 3)
    assert (picture[0, 0] == (100 if mode == "stretch" else 0)).all()
    assert cyan_and_orange(picture)[0][15, 40]
    without = kept.model_copy(update={"truth": None})
    assert (with_outlines(read, image, without) == 100).all()


def test_names_of_masks_lead_nowhere_else(experiment, tmp_path):
    cv2.imwrite(str(tmp_path / "secret.png"), np.full((64, 128), 255, np.uint8))
    entry = {"image_id": "a.png", "truth": "../../secret.png"}
    (experiment.path / "masks" / "mistakes.json").write_text(json.dumps([entry]))
    (kept,) = read_mistakes(experiment).values()
    picture = with_outlines(experiment, np.full((64, 128), 100, np.uint8), kept)
    assert (picture == 100).all()


def test_few_examples_of_many_classes_are_drawn(experiment, tmp_path):
    file = experiment.path / "masks" / "examples.json"
    file.write_text(json.dumps(json.loads(file.read_text()) * 300))
    html = localization(experiment, ImageFolder(tmp_path))
    assert html.count("<figure") == MOST_EXAMPLES
    assert f"The first {MOST_EXAMPLES} of 300 are shown." in html
