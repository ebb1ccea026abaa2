"""Overlays of predicted masks: drawn where they belong, absent where a file is."""

import base64
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from core.analysis.report_maps import localization, where_it_looks
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
