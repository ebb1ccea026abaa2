"""Predicting numpy arrays, as the guide of the room shows it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from guides import blocks

from core.errors import InputError
from core.predicting import open_model, predict_array
from core.predicting.signature import Signature

GUIDE = REPOSITORY / "code" / "core" / "predicting" / "README.md"
NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]


class Means:
    """A model whose probabilities are the means of the channels."""

    def __init__(self, channels: int) -> None:
        self.signature = Signature(
            model="m@1", class_names=tuple("abc"[:channels]), image_size=(4, 6), channels=channels,
            thresholds=(0.5,) * channels, threshold_version="0.5",
        )  # fmt: skip

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return images.mean((2, 3)) / 255


def test_the_lines_of_the_guide_predict_as_the_experiment_did(trained, tmp_path, monkeypatch):
    (lines,) = blocks(GUIDE, "python")
    assert sum(bool(line) for line in lines.splitlines()) == 3
    name = "experiments/results/quickstart_20260304_123015"
    assert name in lines
    shutil.copytree(trained, tmp_path / name)
    root = json.loads((trained / "results.json").read_text())["data"]["root"]
    table = pd.read_csv(trained / "predictions.csv")[:5]
    paths = [str(Path(root) / "train_images" / image) for image in table.image_id]
    monkeypatch.chdir(tmp_path)
    found = {"strips": np.stack([cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in paths])}
    exec(lines, found)
    expected = table[[f"probability_{name}" for name in NAMES]].to_numpy()
    np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=1e-6)
    thresholds = found["model"].signature.thresholds
    assert (found["decisions"] == (found["probabilities"] >= thresholds)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_one_strip_or_several(channels):
    colours = (3,) if channels == 3 else ()
    strips = np.random.default_rng(0).integers(0, 256, (5, 4, 6, *colours), np.uint8)
    model = Means(channels)
    several = predict_array(model, strips, batch_size=2)
    assert several.probabilities.shape == several.decisions.shape == (5, channels)
    one = predict_array(model, strips[3])
    np.testing.assert_array_equal(one.probabilities, several.probabilities[3:4])
    means = strips.reshape(5, 24, channels).mean(1) / 255
    np.testing.assert_allclose(several.probabilities, means)


WRONG = {
    "numbers from 0 to 1": (1, np.zeros((4, 6), np.float32), "float32: expected uint8"),
    "another size": (1, np.zeros((6, 4), np.uint8), "takes (4, 6), or several as (strips, 4, 6)"),
    "colour for grey": (1, np.zeros((4, 6, 3), np.uint8), "shape (4, 6, 3)"),
    "grey for colour": (3, np.zeros((4, 6), np.uint8), "takes (4, 6, 3)"),
    "channels first": (3, np.zeros((2, 3, 4, 6), np.uint8), "several as (strips, 4, 6, 3)"),
    "no strip": (1, np.zeros((0, 4, 6), np.uint8), "shape (0, 4, 6)"),
    "a number": (1, np.uint8(3), "shape ()"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_arrays_are_refused_in_one_line(name):
    channels, strips, expected = WRONG[name]
    with pytest.raises(InputError) as caught:
        predict_array(Means(channels), strips)
    assert expected in str(caught.value)


def test_a_name_that_is_no_model_is_refused():
    with pytest.raises(InputError, match="nowhere is no experiment"):
        open_model("nowhere")


def test_the_names_import_no_torch():
    program = "import core.predicting, sys; sys.exit('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY / "code", check=False)
    assert ended.returncode == 0
