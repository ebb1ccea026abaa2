"""What the page Strips is sent: lists of strips, their images, and what is wrong with them."""

import csv
import os

import cv2
import numpy as np
import pytest
from browsed_strips import HEIGHT, WIDTH, checkerboard, draw_image, write_data_set, write_trained
from experiment_factory import CLASS_NAMES, read_results, write_experiment
from running_workbench import running

from core.analysis.label_errors import rank_label_errors
from core.experiments.predictions import read_predictions
from core.experiments.reading import read_experiment
from core.workbench.strip_sources import strip_key

HOSTILE = ["a?b#c%d.png", "q'uo\"te<b>.png", "%2e%2e%2fx.png", "&amp;.png", "spa ce,comma.png"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strips")
    masks = {name: {1: checkerboard()} for name in HOSTILE}
    data = write_data_set(
        folder / "data", masks | {"plain.jpg": {}, "deep.png": {3: checkerboard()}}
    )
    images = data / "train_images"
    cv2.imwrite(str(images / "deep.png"), draw_image(9, np.uint16))
    cv2.imwrite(str(images / "camera.tiff"), draw_image(8))
    (folder / "secret.jpg").write_bytes((images / "plain.jpg").read_bytes())
    (images / "link.jpg").symlink_to(folder / "secret.jpg")
    (images / "gone.jpg").symlink_to(folder / "nothing.jpg")
    (images / "text.jpg").write_text("a secret")
    (images / "cut.png").write_bytes((images / HOSTILE[0]).read_bytes()[:-200])
    (images / "folder.jpg").mkdir()
    os.mkfifo(images / "pipe.jpg")
    write_trained(folder / "results", folder / "trained_on")
    write_experiment(folder / "results", name="moved")
    return folder


@pytest.fixture(scope="module")
def served(folders):
    with running(folders / "results", data_root=folders / "data") as workbench:
        yield workbench


def listed(served, source):
    return served.ask(f"/api/strips/{source}").json()


def image_of(served, source, name, **headers):
    return served.ask(f"/api/strips/{source}/{strip_key(name)}/image", **headers)


def test_what_may_have_strips_is_named(served, folders):
    places = served.ask("/api/strips").json()["places"]
    assert places[0]["key"] == "data"
    assert {place["name"] for place in places[1:]} == {"trained", "moved"}


def test_the_strips_of_an_experiment_have_its_labels_and_decisions(served, folders):
    found = listed(served, served.key("trained"))
    experiment = read_experiment(folders / "results" / "trained")
    assert found["classes"] == CLASS_NAMES
    assert found["keys"] == [strip_key(image_id) for image_id in found["ids"]]
    with (folders / "results" / "trained" / "split.csv").open() as stream:
        assert dict(zip(found["ids"], found["parts"], strict=True)) == {
            row["image_id"]: row["split"] for row in csv.DictReader(stream)
        }
    test = read_predictions(experiment, "test")
    rows = [found["ids"].index(image_id) for image_id in test.image_ids]
    assert [found["labels"][row] for row in rows] == [
        np.flatnonzero(labels).tolist() for labels in test.labels
    ]
    assert [found["probabilities"][row] for row in rows] == test.probabilities.round(4).tolist()
    thresholds = experiment.look_up("thresholds")
    assert found["thresholds"] == [thresholds[name] for name in CLASS_NAMES]
    assert [found["predicted"][row] for row in rows] == [
        np.flatnonzero(row >= found["thresholds"]).tolist() for row in test.probabilities
    ]
    worst = rank_label_errors(test.image_ids, test.labels, test.probabilities, CLASS_NAMES)[0]
    assert found["disagreement"][found["ids"].index(worst.image_id)] == round(worst.disagreement, 4)
    train = found["parts"].index("train")
    assert found["probabilities"][train] is None
    assert found["labels"][train] == []  # known from the data set alone


def test_the_strips_of_a_data_set_have_its_labels(served):
    found = listed(served, "data")
    labels = dict(zip(found["ids"], found["labels"], strict=True))
    assert {name: labels[name] for name in HOSTILE} == {name: [0] for name in HOSTILE}
    assert labels["plain.jpg"] == []
    assert found["has_masks"]
    assert set(found["parts"]) == {None}


def test_an_image_is_sent_as_it_is_and_once(served, folders):
    for name in ("plain.jpg", *HOSTILE):
        answer = image_of(served, "data", name)
        assert answer.body == (folders / "data" / "train_images" / name).read_bytes()
        again = image_of(served, "data", name, If_None_Match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, max-age=300"
    source = served.key("trained")
    name = listed(served, source)["ids"][0]
    body = (folders / "trained_on" / "train_images" / name).read_bytes()
    assert image_of(served, source, name).body == body


@pytest.mark.parametrize(("name", "pixels"), [
    ("camera.tiff", draw_image(8)), ("deep.png", draw_image(9, np.uint16)),
])  # fmt: skip
def test_what_no_browser_shows_is_converted(served, name, pixels):
    answer = image_of(served, "data", name)
    assert answer.headers["content-type"] == "image/png"
    image = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (HEIGHT, WIDTH)
    scale = 1 if pixels.dtype == np.uint8 else 255 / pixels.max()
    assert np.abs(image - pixels * scale).max() <= 0.5


@pytest.mark.parametrize(("name", "reason"), [
    ("link.jpg", "leads out of the data set"), ("gone.jpg", "cannot be read"),
    ("text.jpg", "not an image"), ("cut.png", "truncated"), ("pipe.jpg", "expected a plain file"),
    ("folder.jpg", "expected a plain file"),
])  # fmt: skip
def test_what_is_no_image_of_the_data_set_is_one_line(served, name, reason):
    assert name in listed(served, "data")["ids"]
    answer = image_of(served, "data", name)
    assert answer.status == 404
    assert reason in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert b"a secret" not in answer.body


def test_a_folder_of_the_data_set_may_be_a_link(tmp_path):
    elsewhere = write_data_set(tmp_path / "elsewhere", {"a.png": {}})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train_images").symlink_to(elsewhere / "train_images")
    (tmp_path / "data" / "train.csv").write_bytes((elsewhere / "train.csv").read_bytes())
    with running(tmp_path / "none", data_root=tmp_path / "data") as served:
        assert image_of(served, "data", "a.png").status == 200


def test_without_its_data_set_an_experiment_has_its_predictions(folders):
    with running(folders / "results") as served:
        found = listed(served, served.key("moved"))
        assert len(found["ids"]) == 360
        assert "does not exist" in found["problems"][0]
        answer = image_of(served, served.key("moved"), found["ids"][0])
        assert answer.status == 404
        assert "--data-root" in answer.json()["detail"]


def test_the_data_set_that_is_given_stands_in_for_one_that_is_gone(folders, tmp_path):
    write_experiment(tmp_path, name="moved", images=40)
    assert read_results(tmp_path / "moved")["data"]["root"] == "strips"
    with running(tmp_path, data_root=folders / "trained_on") as served:
        found = listed(served, served.key("moved"))
        assert found["problems"] == []
        assert image_of(served, served.key("moved"), found["ids"][0]).status == 200


def test_a_data_set_that_changes_is_read_again(tmp_path):
    root = write_data_set(tmp_path / "data", {"a.png": {}})
    with running(tmp_path / "none", data_root=root) as served:
        assert listed(served, "data")["ids"] == ["a.png"]
        cv2.imwrite(str(root / "train_images" / "b.png"), draw_image(3))
        assert listed(served, "data")["ids"] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "source", ["data2", "..", "%2e%2e", "0" * 16, "trained", "data%2f..", "__proto__", "%00"]
)
def test_only_keys_of_the_server_name_strips(served, source):
    assert served.ask(f"/api/strips/{source}").status in (404, 307)
    assert served.ask(f"/api/strips/{source}/{'0' * 16}/image").status in (404, 307)


@pytest.mark.parametrize(
    "strip", ["plain.jpg", "..%2f..%2fsecret.jpg", "%2e%2e", "0" * 16, "..", "%00", "link.jpg"]
)
def test_only_keys_of_the_server_name_an_image(served, strip):
    assert served.ask(f"/api/strips/data/{strip}/image").status in (404, 307)


def test_without_a_data_set_there_is_none(folders):
    with running(folders / "results") as served:
        assert served.ask("/api/strips/data").status == 404
