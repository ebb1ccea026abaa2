"""Data sets of one's own: classes, backgrounds, and what training and validation refuse."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf
from outcomes import read

from core.data.settings import DataSettings
from core.data.validation.validate import validate_data

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


@pytest.mark.slow
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


def first_class_everywhere(root: Path) -> list[str]:
    path = root / "labels.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"{line[:7]}1{line[8:]}" for line in lines)]) + "\n")
    return []


def no_second_class(root: Path) -> list[str]:
    path = root / "labels.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"{line[:9]}0" for line in lines)]) + "\n")
    return []


def own_split(root: Path, part_of_pits: str) -> list[str]:
    """A split file that puts all images of the first class into one part."""
    parts = {0: part_of_pits, 1: "train", 2: "train"}
    names = [f"{number:02d}.png" for number in range(30)]
    rows = [f"{name},{parts[number % 3]}" for number, name in enumerate(names)]
    rows[1:3], rows[4:6] = [f"{names[1]},test", f"{names[2]},test"], [
        f"{names[4]},validation", f"{names[5]},validation",
    ]  # fmt: skip
    (root / "split.csv").write_text("\n".join(["image_id,split", *rows]) + "\n")
    return ["data.split_strategy=file", f"data.split_file={root / 'split.csv'}"]


def contradicting_annotations(root: Path) -> list[str]:
    """ann/ wins over labels.csv, which says otherwise."""
    (root / "images").rename(root / "img")
    (root / "images").symlink_to(root / "img")
    (root / "ann").mkdir()
    content = {"size": {"height": SIZE[0], "width": SIZE[1]}, "objects": []}
    for number in range(30):
        (root / "ann" / f"{number:02d}.png.json").write_text(json.dumps(content))
    return ["data.class_names=[pit,crack]"]


VARIANTS = {
    "sound": (lambda root: [], True),
    "a class at 100 %": (first_class_everywhere, False),
    "a class at 0 %": (no_second_class, False),
    "a split with all of a class in training": (lambda root: own_split(root, "train"), True),
    "a split without a class in training": (lambda root: own_split(root, "test"), False),
    "annotations that contradict": (contradicting_annotations, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", VARIANTS)
def test_validation_and_training_agree(kind, root, train_command):
    spoil, usable = VARIANTS[kind]
    more = spoil(root)
    ended = train_command(*arguments(root, *more))
    assert ended.exit_code == (0 if usable else 2), ended.errors
    data = OmegaConf.from_dotlist([word for word in arguments(root, *more) if word[:4] == "data"])
    settings = DataSettings.model_validate(OmegaConf.to_container(data.data))
    validation = validate_data(root, settings)
    assert validation.usable == usable, validation.findings


def test_a_source_that_training_does_not_compare_is_a_warning(root, train_command):
    """train.csv without a row, beside ann/ with a defect."""
    contradicting_annotations(root)
    (root / "labels.csv").unlink()
    (root / "img").rename(root / "train_images")
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n00.png,1,1 5\n")
    settings = DataSettings(image_size=SIZE, class_names=("pit", "crack"))
    findings = validate_data(root, settings).findings
    (found,) = [f for f in findings if f.kind == "labels contradict masks"]
    assert found.level == "warning"


@pytest.mark.slow
def test_one_background_for_all_names_the_remedy(root, train_command):
    texture = np.random.default_rng(0).integers(60, 200, (16, 80), np.uint8)
    for number, path in enumerate(sorted((root / "images").iterdir())):
        image = cv2.resize(texture, SIZE[::-1])
        image[10:14, 10 * number : 10 * number + 8] = 255
        cv2.imwrite(str(path), image)
    ended = train_command(*arguments(root))
    assert ended.exit_code == 2
    assert "near-duplicates" in ended.errors
    assert "data.group_duplicates=false" in ended.errors
    assert "30 of 30 strips are in one group" in ended.output
    ended = train_command(*arguments(root, "data.group_duplicates=false"))
    assert ended.exit_code == 0, ended.errors
