"""The whole of find_similar.py: what it writes, what it marks, and what it refuses."""

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from experiment_factory import CLASS_NAMES, write_experiment
from pretraining.pretraining_runs import composed
from similarity.similarity_runs import SIZE, write_strips

import explain
import find_similar
from core.data.images import ImageFormat
from core.errors import InputError
from core.models.registry import get_registry
from core.pretraining.composition import pretrain
from core.similarity.copies import find_copies
from core.similarity.retrieval import chance_level


@pytest.fixture(scope="module")
def strips(tmp_path_factory) -> Path:
    return write_strips(tmp_path_factory.mktemp("strips"))


@pytest.fixture(scope="module")
def pretrained(strips, tmp_path_factory) -> Path:
    """A pretraining of one epoch on the training part of the strips."""
    results = tmp_path_factory.mktemp("results")
    size = f"data.image_size=[{SIZE[0]},{SIZE[1]}]"
    words = (size, f"data.root={strips}", "data.batch_size=3", "training.num_epochs=1")
    pretrain(composed(*words, "data.group_duplicates=false", f"experiment.results_dir={results}"))
    (path,) = results.iterdir()
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """A training whose network has random weights, and a mask head."""
    path = write_experiment(tmp_path_factory.mktemp("trained"))
    model = {"name": "timm", "backbone": "test_resnet", "pretrained": False, "num_classes": 4}
    model |= {"mask_head": True, "mask_head_width": 8, "fusion": True}
    torch.manual_seed(0)
    content = {
        "schema_version": 1,
        "experiment": path.name,
        "model": model,
        "image_size": list(SIZE),
        "channels": 1,
        "class_names": CLASS_NAMES,
        "thresholds": dict.fromkeys(CLASS_NAMES, 0.5),
        "threshold_criterion": "macro_f1",
        "scaling": None,
        "state_dict": get_registry().instantiate(**model).state_dict(),
    }
    torch.save(content, path / "model_final.pt")
    return path


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "similar.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def search(*words, output: Path) -> list[dict[str, str]]:
    find_similar.main([*map(str, words), "--output", str(output)])
    return rows_of(output)


def test_a_pretraining_finds_the_strips_of_the_same_label_set(pretrained, strips, tmp_path):
    query = strips / "images" / "strip_01.png"
    rows = search(pretrained, query, "--in", strips, "--top", 3, output=tmp_path / "found")
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    similarities = [float(row["similarity"]) for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert {row["image_labels"] for row in rows} == {"dark"}
    assert {row["query_labels"] for row in rows} == {"dark"}
    assert str(query) not in {row["image"] for row in rows}
    picture = cv2.imread(str(tmp_path / "found" / "similar.jpg"))
    assert picture.shape[1] >= 1500
    report = json.loads((tmp_path / "found" / "similar.json").read_text())["scores"]
    assert report["num_searched"] == 12
    assert report["over_queries"]["mean_average_precision"] > report["over_queries"]["chance"]


def test_a_classifier_is_searched_by_its_pooled_features(classifier, strips, tmp_path):
    query = strips / "images" / "strip_00.png"
    rows = search(classifier, query, "--in", strips, output=tmp_path / "found")
    final = torch.load(classifier / "model_final.pt", weights_only=True)
    model = get_registry().instantiate(**final["model"]).eval()
    model.load_state_dict(final["state_dict"])
    paths = [query, *(Path(row["image"]) for row in rows)]
    images = torch.from_numpy(np.stack([cv2.imread(str(path), 0)[None] for path in paths]))
    pooled = model.backbone.forward_features(model.input_layer(images, torch.float32)).mean((2, 3))
    expected = torch.nn.functional.cosine_similarity(pooled[:1], pooled[1:])
    found = [float(row["similarity"]) for row in rows]
    np.testing.assert_allclose(found, expected.detach(), atol=1e-5)


def test_copies_are_marked_and_left_out_of_the_score(classifier, strips, tmp_path):
    query = strips / "images" / "strip_02.png"
    copied = Path(shutil.copytree(strips, tmp_path / "copied"))
    shutil.copy(query, copied / "images" / "strip_05.png")
    rows = search(classifier, query, "--in", copied, output=tmp_path / "found")
    marked = {Path(row["image"]).name for row in rows if row["copy"] == "identical file"}
    assert marked == {"strip_02.png", "strip_05.png"}
    assert float(rows[0]["similarity"]) == pytest.approx(1, abs=1e-5)
    report = json.loads((tmp_path / "found" / "similar.json").read_text())["scores"]
    # Of the bright strips, 8 and 11 are left; of all images, ten.
    assert report["over_queries"]["chance"] == pytest.approx(chance_level(2, 10))


@pytest.mark.parametrize("parse", [find_similar.parse, explain.parse])
def test_what_may_be_left_out_is_not_asked_for(parse, capsys):
    with pytest.raises(SystemExit):
        parse([])
    assert capsys.readouterr().err.endswith("required: EXPERIMENT\n")


def test_what_cannot_be_read_is_left_out_and_gives_exit_code_1(classifier, strips, tmp_path):
    images = Path(shutil.copytree(strips / "images", tmp_path / "images"))
    (images / "strip_05.png").write_bytes(b"damaged")
    with pytest.raises(SystemExit) as ended:
        search(classifier, images / "strip_02.png", "--in", images, output=tmp_path / "found")
    assert ended.value.code == 1
    found = [Path(row["image"]).name for row in rows_of(tmp_path / "found")]
    assert len(found) == 5
    assert "strip_05.png" not in found


def test_a_strip_in_other_light_is_a_near_duplicate(tmp_path):
    texture = np.random.default_rng(0).normal(size=(64, 320))
    texture = 128 + 400 * cv2.GaussianBlur(texture, (0, 0), 4)
    other = np.random.default_rng(1).normal(size=(64, 320))
    other = 128 + 400 * cv2.GaussianBlur(other, (0, 0), 4)
    names = {"one": texture, "brighter": texture[::-1] + 20, "other": other}
    paths = {name: str(tmp_path / f"{name}.png") for name in names}
    for name, values in names.items():
        cv2.imwrite(paths[name], np.clip(values, 0, 255).astype(np.uint8))
    pairs = [(paths["one"], paths["brighter"]), (paths["one"], paths["other"])]
    found = find_copies(pairs, ImageFormat((64, 320)))
    assert found == {pairs[0]: "near-duplicate"}


def test_a_folder_that_is_not_empty_is_refused(classifier, strips, tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(InputError, match=r"--output .* is not empty"):
        search(classifier, strips / "images" / "strip_01.png", "--in", strips, output=tmp_path)


def test_without_a_query_each_image_of_the_part_is_one(pretrained, tmp_path):
    rows = search(pretrained, "--part", "train", "--top", 2, output=tmp_path / "found")
    with (pretrained / "split.csv").open() as stream:
        part = [row["image_id"] for row in csv.DictReader(stream) if row["split"] == "train"]
    assert [Path(row["query"]).name for row in rows[::2]] == sorted(part)
    assert all(row["query"] != row["image"] for row in rows)
    report = json.loads((tmp_path / "found" / "similar.json").read_text())["scores"]
    assert report["num_queries"] == len(part)
    low, high = report["over_queries"]["interval"]
    assert low <= report["over_queries"]["mean_average_precision"] <= high


def test_strips_without_labels_are_found_and_not_scored(classifier, strips, tmp_path):
    plain = Path(shutil.copytree(strips / "images", tmp_path / "plain"))
    query = strips / "images" / "strip_01.png"
    rows = search(classifier, query, "--in", plain, "--top", 2, output=tmp_path / "found")
    assert rows[0]["copy"] == "identical file"
    assert {row["image_labels"] for row in rows} == {""}
    assert json.loads((tmp_path / "found" / "similar.json").read_text())["scores"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{classifier}", "--in", "{plain}"], "name a query"),
        (["{classifier}", "{query}"], "name what to search by --in"),
        (["model.onnx", "{query}", "--in", "{plain}"], "returns probabilities and no features"),
        (["{classifier}", "{plain}/broken.png", "--in", "{plain}"], "broken.png: not an image"),
        (["{classifier}", "{query}", "--in", "{query}"], "is the query itself"),
        (["{classifier}", "{query}", "--in", "{broken}"], "none of the 1 images can be used, such"),
        (
            ["{classifier}", "--in", "{broken}"],
            "none of the 1 images can be used, such as: .*broke",
        ),
        (["{classifier}", "-", "--in", "{plain}"], "standard input lists no image"),
    ],
)
def test_what_is_refused(words, message, classifier, strips, tmp_path, monkeypatch):
    plain = Path(shutil.copytree(strips / "images", tmp_path / "plain"))
    for folder in (plain, broken := tmp_path / "broken"):
        folder.mkdir(exist_ok=True)
        (folder / "broken.png").write_bytes(b"no image")
    query = strips / "images" / "strip_01.png"
    places = {"classifier": classifier, "plain": plain, "query": query, "broken": broken}
    words = [word.format(**places) for word in words]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(InputError, match=message):
        search(*words, output=tmp_path / "found")
    assert not (tmp_path / "found").exists()
