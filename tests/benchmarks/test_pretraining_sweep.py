"""The sweep over pretrainings: its strips, its runs, and what it does after an interruption."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import pretraining
from benchmarks.options import Options
from benchmarks.pretraining import STARTS, results
from benchmarks.pretraining_strips import Photographs, ProceduralStrips
from core.errors import InputError
from core.pretraining.methods import get_registry
from core.pretraining.settings import PretrainingData
from core.running.loading import read_data

TINY = {"image_size": (32, 64), "num_images": 12, "test_images": 30, "num_steps": 2,
        "num_epochs": 1, "labels": (16,), "seeds": (1,)}  # fmt: skip
STARTED = ("scratch_mask_head", "synthetic_defects")


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(sweep_dir):
    return results(Options(**TINY, starts=STARTED, sweep_dir=sweep_dir), sweep_dir)


@pytest.mark.slow
def test_each_start_is_trained_and_compared_with_its_own_network(swept):
    rows, text = swept
    assert [row["start"] for row in rows] == list(STARTED)
    assert [row["beside"] for row in rows] == ["scratch", "scratch_mask_head"]
    values = [row["seeds"][1] for row in rows]
    difference = rows[1]["differences"][1]
    assert difference["value"] == pytest.approx(values[1] - values[0])
    assert difference["interval"][0] <= difference["value"] <= difference["interval"][1]
    assert f"{difference['value']:+.3f}" in text


def test_the_training_goes_on_from_the_encoder(swept, sweep_dir):
    (file,) = (sweep_dir / "trained" / "synthetic_defects_16_1").glob("*/results.json")
    weights = json.loads(file.read_text())["config"]["model"]["weights"]
    (encoder,) = (sweep_dir / "pretrained" / "synthetic_defects_1").glob("*/encoder.safetensors")
    assert Path(weights) == encoder.resolve()


def test_finished_runs_are_not_repeated(swept, sweep_dir, monkeypatch):
    def repeated(config):
        raise AssertionError("trained again")

    monkeypatch.setattr(pretraining, "train", repeated)
    monkeypatch.setattr(pretraining, "pretrain", repeated)
    assert results(Options(**TINY, starts=STARTED, sweep_dir=sweep_dir), sweep_dir) == swept
    more = Options(**TINY, starts=("scratch",), sweep_dir=sweep_dir, only_table=True)
    assert results(more, sweep_dir) == ([], "no training is finished yet")
    with pytest.raises(AssertionError, match="trained again"):
        results(Options(**TINY, starts=("scratch",), sweep_dir=sweep_dir), sweep_dir)


def test_other_settings_need_another_folder(swept, sweep_dir):
    other = Options(**{**TINY, "num_steps": 3}, sweep_dir=sweep_dir)
    with pytest.raises(InputError, match="holds a sweep with other settings"):
        results(other, sweep_dir)


def test_mistakes_are_named_before_anything_is_made(tmp_path):
    for wrong in ({"starts": ("simclear",)}, {"labels": (601,)}):
        with pytest.raises(InputError, match=r"--(starts simclear|labels 601): expected"):
            results(Options(**{**TINY, **wrong}, sweep_dir=tmp_path / "sweep"), tmp_path)
    assert not (tmp_path / "sweep").exists()


def test_every_method_that_needs_no_labels_is_in_the_sweep():
    registry = get_registry()
    expected = {name for name in registry if not registry.get(name).needs_labels}
    assert {start.method for start in STARTS.values()} - {None} == expected
    assert set(Options().starts) == set(STARTS)


@pytest.mark.slow
def test_parts_are_disjoint_and_fewer_labels_are_the_first_of_more(tmp_path):
    strips, parts = ProceduralStrips(tmp_path, (32, 64), 6, 30), {}
    for number, seed in ((8, 1), (20, 1), (20, 2)):
        root, file, num_train = strips.labelled(number, seed)
        assert num_train == number
        with file.open(newline="") as stream:
            part_of = {row["image_id"]: row["split"] for row in csv.DictReader(stream)}
        assert set(part_of) == {path.name for path in (root / "train_images").iterdir()}
        parts[number, seed] = {part: {n for n, p in part_of.items() if p == part}
                               for part in ("train", "validation", "test")}  # fmt: skip
    assert parts[8, 1]["train"] < parts[20, 1]["train"]
    assert parts[20, 1]["train"] != parts[20, 2]["train"]
    assert parts[8, 1]["test"] == parts[20, 2]["test"]
    assert [len(parts[20, 1][part]) for part in ("train", "test")] == [20, 30]
    unlabelled = strips.unlabelled()
    assert len(list(unlabelled.glob("*.jpg"))) == len(list(unlabelled.iterdir())) == 6


@pytest.fixture
def photographs(tmp_path) -> Path:
    """150 photographs of two sizes with two classes, of which each seventh image shows one."""
    root = tmp_path / "photographs"
    (root / "images").mkdir(parents=True)
    rows = ["ImageId,scratch,pit"]
    for number in range(150):
        name = f"{number:03d}.png"
        image = np.random.default_rng(number).integers(0, 255, (20 + number % 2, 30), np.uint8)
        cv2.imwrite(str(root / "images" / name), image)
        rows.append(f"{name},{int(number % 7 == 0)},{int(number % 7 == 1)}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def test_few_photographs_of_each_class_are_labelled(photographs, tmp_path):
    source, drawn = Photographs(tmp_path / "strips", photographs, (32, 32)), {}
    for number, seed in ((2, 1), (4, 1), (4, 2)):
        root, file, num_train = source.labelled(number, seed)
        with file.open(newline="") as stream:
            part_of = {row["image_id"]: row["split"] for row in csv.DictReader(stream)}
        with (root / "labels.csv").open(newline="") as stream:
            kinds = [(row["scratch"], row["pit"]) for row in csv.DictReader(stream)
                     if part_of[row["ImageId"]] == "train"]  # fmt: skip
        assert Counter(kinds) == {("1", "0"): number, ("0", "1"): number, ("0", "0"): number}
        assert num_train == 3 * number
        drawn[number, seed] = {part: {n for n, p in part_of.items() if p == part}
                               for part in ("train", "validation", "test")}  # fmt: skip
    assert drawn[2, 1]["train"] < drawn[4, 1]["train"] != drawn[4, 2]["train"]
    assert drawn[2, 1]["test"] == drawn[4, 2]["test"]
    unlabelled = {path.name for path in source.unlabelled().iterdir()}
    assert drawn[4, 1]["train"] | drawn[4, 2]["train"] <= unlabelled
    assert not unlabelled & (drawn[4, 1]["test"] | drawn[4, 1]["validation"])
    assert len(unlabelled) + 40 + len(drawn[4, 1]["test"]) == 150


@pytest.mark.parametrize("form", ["older", "columns"])
def test_labels_are_kept_in_every_form_of_a_table(photographs, tmp_path, form):
    """Each table is copied for the images of a draw."""
    rows = (photographs / "labels.csv").read_text().splitlines()[1:]
    cells = [row.split(",") for row in rows]
    if form == "older":
        (photographs / "labels.csv").unlink()
        (photographs / "images").rename(photographs / "train_images")
        lines = ["ImageId_ClassId,EncodedPixels"]
        lines += [f"{name}_{c + 1},{'1 9' if int(v) else ''}" for name, *of in cells
                  for c, v in enumerate(of)]  # fmt: skip
        (photographs / "train.csv").write_text("\n".join(lines))
        (photographs / "classes.txt").write_text("scratch\npit\n")
    else:
        lines = ["scratch,pit,ImageId", *(f"{a},{b},{name}" for name, a, b in cells)]
        (photographs / "labels.csv").write_text("\n".join(lines))
    drawn = Photographs(tmp_path / "strips", photographs, (32, 32)).labelled(2, 1)
    table = read_data(PretrainingData(root=drawn.root, resize=(32, 32))).table
    assert table.labels.sum(axis=0).min() >= 5


@pytest.mark.slow
def test_photographs_are_resized_and_compared(photographs, tmp_path):
    chosen = {**TINY, "image_size": (32, 32), "labels": (2,), "starts": ("scratch", "simclr")}
    options = Options(**chosen, data_root=photographs, sweep_dir=tmp_path / "sweep")
    rows, text = results(options, tmp_path)
    assert [(row["start"], row["labels"]) for row in rows] == [("scratch", 2), ("simclr", 2)]
    assert rows[1]["differences"][1]["value"] == pytest.approx(
        rows[1]["seeds"][1] - rows[0]["seeds"][1]
    )
    assert f"of each class of {photographs}" in text
    (file,) = (tmp_path / "sweep" / "pretrained" / "simclr_1").glob("*/results.json")
    retrieval = json.loads(file.read_text())["test"]["retrieval"]
    assert f"simclr: retrieval of the second view {retrieval:.3f} after" in text
    masked = replace(options, starts=("scratch_mask_head",))
    with pytest.raises(InputError, match="--starts scratch_mask_head: trains a mask head"):
        results(masked, tmp_path)
