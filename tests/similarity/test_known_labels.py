"""Label sets by path: with the classes of the experiment, whatever else a data set holds."""

import shutil
from pathlib import Path

import pytest
from data.strip_folders import SIZE, kaggle_folder, write_csv, write_strips
from experiment_factory import CLASS_NAMES

from core.data.annotations import read_label_table
from core.experiments.reading import Experiment
from core.review.overlay import COLUMNS, read_corrections
from core.similarity.known_labels import KnownLabels

OWN = ["scratch", "pit", "stain", "fold", "dent"]


def training(class_names: list[str], source: str = "labels.csv") -> Experiment:
    return Experiment(Path(), {"data": {"class_names": class_names, "source": source}})


def pretraining(root: Path, class_names: list[str] | None) -> Experiment:
    config = {"data": {"class_names": class_names}}
    return Experiment(
        Path(), {"kind": "pretraining", "config": config, "data": {"probe": str(root)}}
    )


def labelled(root: Path, *columns: str) -> Path:
    """Two strips, of which the second shows everything."""
    write_strips(root / "images", ["a.jpg", "b.jpg"])
    rows = ["ImageId," + ",".join(columns), "a.jpg" + ",0" * len(columns)]
    write_csv(root / "labels.csv", [*rows, "b.jpg" + ",1" * len(columns)])
    return root


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([*CLASS_NAMES, "night_shift"], CLASS_NAMES),
        (["dark", "bright"], ["dark", "bright"]),
    ],
)
def test_only_the_experiments_classes_are_read_where_a_data_set_has_them(
    columns, expected, tmp_path
):
    root = labelled(tmp_path / "set", *columns)
    for experiment in (training(CLASS_NAMES), pretraining(root, CLASS_NAMES)):
        labels = KnownLabels(experiment, SIZE, read_corrections)
        assert labels.of(str(root / "images" / "a.jpg")) == ()
        assert labels.of(str(root / "images" / "b.jpg")) == tuple(expected)


def test_a_pretraining_without_names_has_those_of_the_data_set(tmp_path):
    root = labelled(tmp_path / "set", "dark", "bright")
    labels = KnownLabels(pretraining(root, None), SIZE, read_corrections)
    assert labels.of(str(root / "images" / "b.jpg")) == ("dark", "bright")


def test_class_ids_have_the_names_of_the_experiment(tmp_path):
    root = kaggle_folder(tmp_path / "set", ["strip_001.jpg,5,1 3"])
    for experiment in (
        training(OWN, "train.csv"),
        pretraining(root, OWN),
    ):
        labels = KnownLabels(experiment, SIZE, read_corrections)
        assert labels.of(str(root / "train_images" / "strip_001.jpg")) == ("dent",)


def test_a_damaged_image_leaves_the_labels_of_the_others(tmp_path):
    root = labelled(tmp_path / "set", *CLASS_NAMES)
    (root / "images" / "a.jpg").write_bytes(b"damaged")
    labels = KnownLabels(training(CLASS_NAMES), SIZE, read_corrections)
    assert labels.of(str(root / "images" / "b.jpg")) == tuple(CLASS_NAMES)


def test_a_link_to_the_images_leads_to_their_labels(tmp_path):
    root = labelled(tmp_path / "set", *CLASS_NAMES)
    (tmp_path / "link").symlink_to(root / "images")
    labels = KnownLabels(training(CLASS_NAMES), SIZE, read_corrections)
    assert labels.of(str(tmp_path / "link" / "b.jpg")) == tuple(CLASS_NAMES)


def test_the_data_set_of_a_training_has_the_labels_that_it_learned_from(tmp_path, caplog):
    root = labelled(tmp_path / "set", *CLASS_NAMES)
    fingerprint, file = read_label_table(root, image_size=SIZE).fingerprint(), tmp_path / "c.csv"
    write_csv(file, [",".join(COLUMNS), f"b.jpg,{CLASS_NAMES[0]},1,0,{fingerprint}"])
    corrected = training(CLASS_NAMES)
    corrected.results["config"] = {"data": {"corrections": str(file)}}
    corrected.results["data"] |= {
        "root": str(root), "corrections": {"given_fingerprint": fingerprint},
    }  # fmt: skip
    moved = Path(shutil.copytree(root, tmp_path / "moved"))
    other = labelled(tmp_path / "other", *CLASS_NAMES)
    write_csv(other / "labels.csv", ["ImageId," + ",".join(CLASS_NAMES), "a.jpg,1,1,1,1",
                                     "b.jpg,1,1,1,1"])  # fmt: skip
    labels = KnownLabels(corrected, SIZE, read_corrections)
    for place, expected in ((root, 1), (moved, 1), (other, 0)):
        assert labels.of(str(place / "images" / "b.jpg")) == tuple(CLASS_NAMES[expected:])
    assert "other decisions" not in caplog.text
    corrected.results["data"]["corrections"]["sha256"] = "that of other decisions"
    KnownLabels(corrected, SIZE, read_corrections).of(str(root / "images" / "b.jpg"))
    assert "has other decisions than at the training" in caplog.text


def test_labels_that_cannot_be_read_are_named_once(tmp_path, caplog):
    root = labelled(tmp_path / "set", *CLASS_NAMES)
    write_csv(root / "labels.csv", ["ImageId,pit", "a.jpg,0"])
    labels = KnownLabels(training(CLASS_NAMES), SIZE, read_corrections)
    assert {labels.of(str(root / "images" / name)) for name in ("a.jpg", "b.jpg")} == {None}
    (warning,) = [text for text in caplog.messages if "are not used" in text]
    assert "no row for image 'b.jpg'" in warning
