"""Near-duplicates from the data to the intervals of every command."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from outcomes import read

from core.running.reevaluation import reevaluate

PIECES = 40


@pytest.fixture(scope="module")
def photographed_twice(tmp_path_factory) -> list[str]:
    """Overrides of a data set in which each piece was photographed twice, once brighter."""
    folder = tmp_path_factory.mktemp("photographed_twice")
    (folder / "images").mkdir()
    rows = ["ImageId,pit,crack"]
    for piece in range(PIECES):
        texture = np.random.default_rng(piece).normal(110, 25, (16, 80)).clip(30, 190)
        image = cv2.resize(texture.astype(np.uint8), (64, 32))
        for light in range(2):
            name = f"{piece:02d}_{light}.png"
            cv2.imwrite(str(folder / "images" / name), image + np.uint8(20 * light))
            rows.append(f"{name},{piece % 2},{piece // 2 % 2}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return ["data=severstal", f"data.root={folder}", "training.num_epochs=1"]


def groups_of(path, part: str) -> pd.Series:
    table = pd.read_csv(path / "predictions.csv")
    return table[table.split == part].set_index("image_id").group


def test_a_training_resamples_groups_and_so_does_an_evaluation(completed, tiny, photographed_twice):
    path = completed(*tiny, *photographed_twice)
    results = read(path)
    parts = results["data"]["split"]["parts"]
    assert sum(part["num_groups"] for part in parts.values()) == PIECES
    groups = groups_of(path, "test")
    assert parts["test"]["num_groups"] == groups.nunique() == len(groups) / 2
    assert (groups.groupby(groups.index.str[:2]).nunique() == 1).all()
    for report in ("test", "test_at_thresholds"):
        intervals = results[report]["intervals"]
        assert (intervals["unit"], intervals["num_units"]) == ("groups", groups.nunique())
    assert results["data"]["split"]["num_straddling_groups"] == 0
    card = (path / "MODEL_CARD.md").read_text()
    assert f"; {PIECES} pairs of near-duplicates, both images of a pair in the same part." in card
    assert "more than one part" not in card
    said = f"over {groups.nunique()} groups of near-duplicates"
    assert said in (path / "report.html").read_text()
    assert said in card
    again = json.loads((reevaluate(path) / "results.json").read_text())
    assert again["test"]["intervals"] == results["test"]["intervals"]


def test_a_split_file_that_tears_copies_apart_is_told_in_the_card(
    completed, tiny, photographed_twice, tmp_path, caplog
):
    caplog.set_level("INFO")
    file, parts = tmp_path / "split.csv", ("train", "test", "validation", "train")
    # The two photographs of every fourth piece lie in two parts.
    names = [
        f"{piece:02d}_{light}.png,{'train' if piece % 4 == 0 and light else parts[piece // 4 % 4]}"
        for piece in range(PIECES)
        for light in range(2)
    ]
    file.write_text("\n".join(["image_id,split", *names, ""]))
    split = ("data.split_strategy=file", f"data.split_file={file}")
    path = completed(*tiny, *photographed_twice, *split)
    assert f"{PIECES} pairs of near-duplicate strips\n" in caplog.text
    number = read(path)["data"]["split"]["num_straddling_groups"]
    assert number == sum(parts[piece // 4 % 4] != "train" for piece in range(0, PIECES, 4))
    card = (path / "MODEL_CARD.md").read_text()
    assert f"; {PIECES} pairs of near-duplicates.\n" in card
    assert f"- {number} groups of near-duplicates have images in more than one part" in card


def test_without_a_search_images_are_resampled_and_groups_are_not_counted(
    completed, tiny, photographed_twice
):
    path = completed(*tiny, *photographed_twice, "data.group_duplicates=false")
    results = read(path)
    assert results["test"]["intervals"]["unit"] == "images"
    assert results["data"]["split"]["parts"]["test"]["num_groups"] is None
    assert results["data"]["split"]["num_straddling_groups"] is None
    card = (path / "MODEL_CARD.md").read_text()
    assert "pairs of near-duplicates" not in card
    assert "Near-duplicates were not looked for" in card
    assert "group" not in pd.read_csv(path / "predictions.csv").columns


def test_groups_without_a_copy_are_images(trained):
    results = read(trained)
    part = results["data"]["split"]["parts"]["test"]
    assert part["num_groups"] == part["num_images"]
    assert results["test"]["intervals"]["unit"] == "images"


@pytest.mark.slow
def test_a_cross_validation_resamples_groups(completed, tiny, photographed_twice):
    path = completed(*tiny, *photographed_twice, "training.folds=4")
    intervals = read(path)["test"]["intervals"]
    assert (intervals["unit"], intervals["num_units"]) == ("groups", PIECES)
    assert groups_of(path, "test").nunique() == PIECES
    assert read(path / "fold_1")["test"]["intervals"]["unit"] == "groups"
