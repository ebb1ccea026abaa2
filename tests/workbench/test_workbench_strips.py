"""What the page Strips is sent: lists of strips, their images, and what is wrong with them."""

import csv
import os

import cv2
import numpy as np
import pytest
from browsed_strips import HEIGHT, WIDTH, checkerboard, draw_image, write_data_set, write_trained
from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results
from running_workbench import running

from core.analysis.label_errors import rank_label_errors
from core.data.annotations import read_label_table
from core.data.weak_supervision import flip_labels
from core.experiments.predictions import read_predictions
from core.experiments.reading import read_experiment
from core.experiments.strips import Strips
from core.files.tables import write_table
from core.review.overlay import COLUMNS
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
    with (data / "train.csv").open("a") as stream:
        stream.write("text.jpg,1,1 1\n")
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
    # No error, with which the browser would fill its console: the page shows the sentence.
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert reason.encode() in answer.body
    assert b"\n" not in answer.body
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
        assert answer.headers["content-type"].startswith("text/plain")
        assert b"--data-root" in answer.body


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


def mask_of(served, source, name, number):
    answer = served.ask(f"/api/strips/{source}/{strip_key(name)}/masks/{number}")
    return cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.slow
def test_the_data_set_of_an_experiment_that_changes_is_read_again(tmp_path):
    path = write_trained(tmp_path / "results", tmp_path / "data")
    with running(tmp_path / "results") as served:
        source = served.key(path.name)
        found = listed(served, source)
        name = found["ids"][found["labels"].index([])]
        masks = f"/api/strips/{source}/{strip_key(name)}/masks"
        before = served.ask(masks).json()
        table = tmp_path / "data" / "train.csv"
        table.write_text(table.read_text() + f"{name},1,1 40\n")
        after = served.ask(masks).json()
    assert after["masks"] == [0]
    assert before != after


def test_labels_and_masks_are_those_that_the_experiment_trained_on(tmp_path):
    root, data = tmp_path / "data", {"generation_seed": 3}
    path = write_trained(tmp_path / "results", root)
    train = [row for row in (path / "split.csv").read_text().splitlines() if ",train" in row]
    cleared, unused, plain = [row.partition(",")[0] for row in train[:3]]
    table = root / "train.csv"
    table.write_text(table.read_text() + "".join(f"{n},1,1 40\n" for n in (cleared, unused)))
    given = read_label_table(root, image_size=(HEIGHT, WIDTH))
    noisy = flip_labels(given, 0.1, 3)
    rows = [(cleared, "defect_1"), (plain, "defect_3")]
    rows += [(given.image_ids[row], CLASS_NAMES[column]) for row, column, _ in noisy.flips]
    right = {(cleared, "defect_1"): 0, (plain, "defect_3"): 1}
    labels = {row: right.get(row, 0) for row in rows}
    corrections = tmp_path / "corrections.csv"
    write_table(corrections, COLUMNS, ((*k, "", v, noisy.fingerprint()) for k, v in labels.items()))
    results = read_results(path)
    data |= {"label_noise": 0.1, "corrections": str(corrections), "unused_masks": [unused]}
    results["config"]["data"] |= data
    record = {"given_fingerprint": noisy.fingerprint(), "sha256": "that of other decisions"}
    results["data"] |= {"corrections": record}
    write_results(path, results)
    with running(tmp_path / "results") as served:
        source = served.key(path.name)
        found = listed(served, source)
        shown = dict(zip(found["ids"], found["labels"], strict=True))
        masks = {
            name: served.ask(f"/api/strips/{source}/{strip_key(name)}/masks").json()["masks"]
            for name in (cleared, unused, plain)
        }
        # Decided otherwise while the page is open.
        labels[plain, "defect_3"] = 0
        rows = ((*key, "", label, noisy.fingerprint()) for key, label in labels.items())
        write_table(corrections, COLUMNS, rows)
        later = listed(served, source)
    assert dict(zip(later["ids"], later["labels"], strict=True))[plain] == []
    assert [shown[name] for name in (cleared, unused, plain)] == [[], [0], [2]]
    assert masks == {cleared: [], unused: None, plain: None}
    assert "has other decisions than at the training" in found["problems"][0]


@pytest.mark.parametrize("what", ["maps/nonsense/0/heat", "maps/grad_cam/0/mask", "masks/7"])
def test_a_picture_that_cannot_be_made_is_not_found(served, what):
    source = served.key("trained")
    key = listed(served, source)["keys"][0]
    assert served.ask(f"/api/strips/{source}/{key}/{what}").status == 404


def test_a_true_mask_is_a_picture_of_its_pixels(served):
    address = f"/api/strips/data/{strip_key(HOSTILE[0])}/masks"
    middle = [(WIDTH - 1) // 2, (HEIGHT - 1) // 2]
    assert served.ask(address).json() == {"masks": [0], "middles": [middle]}
    picture = mask_of(served, "data", HOSTILE[0], 0)
    assert np.array_equal(picture[..., 3] == 255, checkerboard() == 1)
    colour = listed(served, "data")["colours"][0]
    assert bytes(picture[0, 0, 2::-1]).hex() == colour[1:]
    assert served.ask(f"{address}/1").status == 404
    assert served.ask(f"/api/strips/data/{strip_key('plain.jpg')}/masks").json()["masks"] == []
    # Its size is not known.
    assert served.ask(f"/api/strips/data/{strip_key('text.jpg')}/masks").json() == {"masks": None}


def test_what_has_no_model_or_a_damaged_one_is_one_line(served, folders):
    key = strip_key("plain.jpg")
    assert "no model" in served.ask(f"/api/strips/data/{key}/maps").json()["problem"]
    source = served.key("trained")
    name = listed(served, source)["ids"][0]
    problem = served.ask(f"/api/strips/{source}/{strip_key(name)}/maps").json()["problem"]
    assert "model_final.pt" in problem
    assert not listed(served, source)["has_model"]


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


def test_what_a_detector_says_is_listed(folders, tmp_path):
    folder = write_trained(tmp_path, folders / "trained_on")
    lines = (folder / "predictions.csv").read_text().splitlines()
    scores = ["novelty_score", *(str(number / 8) for number in range(len(lines) - 1))]
    joined = [f"{line},{score}" for line, score in zip(lines, scores, strict=True)]
    (folder / "predictions.csv").write_text("\n".join(joined) + "\n")
    with running(tmp_path) as served:
        found = listed(served, served.key("trained"))
        second = lines[2].partition(",")[0]
        assert found["novelty"][found["ids"].index(second)] == 0.125
        assert found["novelty"][found["parts"].index("train")] is None


def test_the_strips_of_a_detector_have_its_scores(folders, tmp_path):
    root = folders / "trained_on"
    names = sorted(path.name for path in (root / "train_images").iterdir())[:2]
    (tmp_path / "detector").mkdir()
    about = {"root": str(root), "class_names": CLASS_NAMES}
    results = {"schema_version": 1, "status": "completed", "kind": "novelty", "data": about}
    write_results(tmp_path / "detector", results | {"threshold": {"threshold": 0.75}})
    rows = ["image,part,score,high_pass,defect_1,defect_2,defect_3,defect_4"]
    rows += [f"/x/{names[0]},test,0.9,1,0,1,0,0", f"/x/{names[1]},threshold,0.25,1,0,0,0,0"]
    (tmp_path / "detector" / "scores.csv").write_text("\n".join(rows) + "\n")
    with running(tmp_path) as served:
        assert [one["name"] for one in served.ask("/api/strips").json()["places"]] == ["detector"]
        found = listed(served, served.key("detector"))
        assert image_of(served, served.key("detector"), names[0]).headers["etag"]
    assert (found["ids"], found["parts"]) == (names, ["test", "threshold"])
    assert (found["novelty"], found["novelty_threshold"]) == ([0.9, 0.25], 0.75)
    assert (found["labels"], found["predicted"]) == ([[1], []], [None, None])


def test_damaged_predictions_are_one_line_above_the_strips(folders, tmp_path):
    folder = write_trained(tmp_path, folders / "trained_on")
    text = (folder / "predictions.csv").read_text()
    (folder / "predictions.csv").write_text(text.replace("test", "test,1", 1))
    with running(tmp_path) as served:
        found = listed(served, served.key("trained"))
        assert "predictions.csv line" in found["problems"][0]
        assert set(found["parts"]) == {"train", "validation", "test"}


def test_the_nearest_strips_are_those_that_the_command_wrote(folders, tmp_path):
    folder = write_trained(tmp_path, folders / "trained_on")
    ids = sorted(
        line.partition(",")[0] for line in (folder / "split.csv").read_text().splitlines()[1:]
    )
    with running(tmp_path) as served:
        address = f"/api/strips/{served.key('trained')}/{strip_key(ids[0])}/similar"
        assert served.ask(address).json() == {"similar": None}
        (folder / "similar").mkdir()
        (folder / "similar" / "similar.csv").write_text(
            "query,rank,image,similarity,copy\n"
            f"/x/{ids[0]},1,/y/{ids[7]},0.93,near-duplicate\n/x/{ids[0]},2,/y/other.jpg,0.9,\n"
        )
        found = served.ask(address).json()["similar"]
        assert found == [
            {"key": strip_key(ids[7]), "name": ids[7], "similarity": 0.93, "copy": "near-duplicate"}
        ]
        assert served.ask(address.replace(strip_key(ids[0]), strip_key(ids[1]))).json() == {
            "similar": []
        }


@pytest.mark.slow
def test_heat_maps_are_those_of_explain(trained):
    from core.experiments.drawing import OPACITY
    from core.explaining.methods import heat_maps
    from core.explaining.scores import enlarge
    from core.predicting.stream import read_strip
    from core.predicting.trained_model import TrainedModel

    with running(trained.parent) as served:
        source = served.key(trained.name)
        found = listed(served, source)
        strip = found["keys"][0]
        maps = served.ask(f"/api/strips/{source}/{strip}/maps").json()
        assert (maps["method"], maps["methods"]) == ("hires_cam", ["grad_cam", "hires_cam"])
        assert [one["name"] for one in maps["maps"]] == found["classes"]
        answer = served.ask(f"/api/strips/{source}/{strip}/maps/hires_cam/2/heat")
        wrong = served.ask(f"/api/strips/{source}/{strip}/maps?method=cbam").json()
        unknown = served.ask(f"/api/strips/{source}/{strip}/maps/hires_cam/9/heat")
    assert "hires_cam" in wrong["problem"]
    assert unknown.status == 404
    model = TrainedModel(trained)
    file = Strips(read_experiment(trained)).find(found["ids"][0])
    values = heat_maps(model, "hires_cam", read_strip(file, model.signature))[2].values
    values = enlarge(values, model.signature.image_size)
    share = (values - values.min()) / max(values.max() - values.min(), 1e-12)
    picture = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(picture[..., 3] - 255 * OPACITY * share).max() <= 1
