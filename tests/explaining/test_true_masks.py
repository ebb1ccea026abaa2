"""The masks that explanations are scored on: those that the training was to use."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import explain
from core.experiments.drawing import OUTLINE
from core.explaining.true_masks import TrueMasks
from core.predicting.trained_model import TrainedModel
from core.review.overlay import COLUMNS, read_corrections

LABELS = [f"label_defect_{number}" for number in range(1, 5)]


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def read(experiment: Path) -> tuple[dict, pd.DataFrame]:
    """results.json, and the defective test strips of predictions.csv."""
    content = json.loads((experiment / "results.json").read_text())
    strips = pd.read_csv(experiment / "predictions.csv", index_col="image_id")
    strips = strips[(strips.split == "test") & strips[LABELS].any(axis=1)]
    return content, strips.sort_index()


def test_a_picture_shows_the_true_mask(experiment):
    content, strips = read(experiment)
    # Its classes are others from right to left.
    shown = next(row for row in strips[LABELS].itertuples() if row[1:] != row[:0:-1])
    image = Path(content["data"]["root"]) / "train_images" / shown.Index
    explain.main([str(experiment), str(image), "--curve-steps", "0"])
    masks = TrueMasks(TrainedModel(experiment), read_corrections).of(image)
    report = json.loads((experiment / "explanation_hires_cam" / "explanation.json").read_text())
    per_class = report["scores"]["maps"]["hires_cam"]["per_class"].values()
    assert [row["num_images"] for row in per_class] == list(shown[1:])
    for mask, label in zip(masks, LABELS, strict=True):
        file = (
            experiment
            / "explanation_hires_cam"
            / f"{image.stem}_{label.removeprefix('label_')}.png"
        )
        picture = cv2.imread(str(file))[-len(mask) :, : mask.shape[1]]
        drawn = (picture == OUTLINE).all(axis=2)
        around = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > mask
        assert (drawn == around).all()


def test_masks_that_training_did_not_use_are_not_scored_on(experiment, tmp_path, caplog):
    content, strips = read(experiment)
    root, data = Path(content["data"]["root"]), content["config"]["data"]
    unused, cleared, *others = strips.index

    def masks(data_root: Path | None = None) -> TrueMasks:
        (experiment / "results.json").write_text(json.dumps(content))
        return TrueMasks(TrainedModel(experiment), read_corrections, data_root)

    def names(found: TrueMasks) -> list[str]:
        return [path.name for path in found.paths("test")]

    data["unused_masks"] = [unused]
    assert names(masks()) == [cleared, *others]
    assert masks().of(root / "train_images" / unused) is None
    # A strip that a review cleared shows nothing, whatever its mask is.
    fingerprint, file = content["data"]["fingerprint"], tmp_path / "corrections.csv"
    shown = [label.removeprefix("label_") for label in LABELS if strips.loc[cleared, label]]
    rows = [(cleared, name, 1, 0, fingerprint) for name in shown]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(file, index=False)
    data["corrections"] = str(file)
    content["data"]["corrections"] = {"given_fingerprint": fingerprint}
    assert names(masks()) == others
    assert not masks(root).of(root / "train_images" / cleared).any()
    # Another data set is not what either of them is about.
    other = Path(shutil.copytree(root, tmp_path / "other"))
    (other / "train_images" / unused).unlink()
    table = pd.read_csv(other / "train.csv")
    table[table.ImageId != unused].to_csv(other / "train.csv", index=False)
    assert names(masks(other)) == [cleared, *others]
    file.unlink()
    assert names(masks()) == []
    assert f"No masks to outline or to score with: {file}" in caplog.text
