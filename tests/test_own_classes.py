"""Data sets with classes of their own, from the command line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from outcomes import read

SIZE = (64, 320)


@pytest.fixture
def root(tmp_path) -> Path:
    """Thirty strips with a labels.csv of two classes, ten of each and ten clean."""
    folder = tmp_path / "strips"
    (folder / "images").mkdir(parents=True)
    lines = ["ImageId,pit,crack"]
    for number in range(30):
        texture = np.random.default_rng(number).integers(60, 200, (16, 80), np.uint8)
        image = cv2.resize(texture, SIZE[::-1])
        cv2.imwrite(str(folder / "images" / f"{number:02d}.png"), image)
        lines.append(f"{number:02d}.png,{int(number % 3 == 0)},{int(number % 3 == 1)}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def arguments(root: Path, *more: str) -> list[str]:
    return [
        f"data.root={root}",
        f"data.image_size=[{SIZE[0]},{SIZE[1]}]",
        f"experiment.results_dir={root.with_name('results')}",
        "model=timm",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "training.num_epochs=1",
        "evaluation.bootstrap_resamples=100",
        *more,
    ]


@pytest.mark.parametrize("folds", ["null", "3"])
def test_the_number_of_classes_is_that_of_the_data(folds, root, train_command):
    ended = train_command(*arguments(root, f"training.folds={folds}"))
    assert ended.exit_code == 0, ended.errors
    (folder,) = root.with_name("results").iterdir()
    results = read(folder)
    assert results["config"]["model"]["num_classes"] == 2
    assert "num_classes: 2" in (folder / "config.yaml").read_text()
    assert list(results["test"]["per_class"]) == ["pit", "crack"]


def test_a_number_of_classes_that_was_given_must_be_that_of_the_data(root, train_command):
    ended = train_command(*arguments(root, "model.num_classes=3"))
    assert ended.exit_code == 2
    assert "model.num_classes=3: labels.csv has 2 classes (pit, crack)" in ended.errors
