"""Where an experiment's strips are: one answer for everybody who asks."""

import re
from pathlib import Path

import pytest
from experiment_factory import read_results, write_experiment, write_results

from core.data.sources import image_folder
from core.errors import InputError
from core.experiments import strips as strips_module
from core.experiments.reading import Experiment, read_experiment
from core.experiments.strips import ImageFolder, Strips


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """Its strips stand in two folders of the recorded root."""
    folder, root = write_experiment(tmp_path, images=20), tmp_path / "strips"
    results = read_results(folder)
    results["data"]["root"] = str(root)
    write_results(folder, results)
    read = read_experiment(folder)
    for place, parts in (("a", ("train", "test")), ("b", ("validation",))):
        (root / place).mkdir(parents=True)
        for part in parts:
            for image_id in Strips(read).ids(part):
                (root / place / image_id).write_text("")
    return read


def test_parts_are_those_of_the_split_and_files_are_found_by_id(experiment):
    strips = Strips(experiment)
    assert strips.root == experiment.path.parent / "strips"
    for part in ("train", "validation", "test"):
        ids = strips.ids(part)
        assert len(ids) == experiment.look_up("data", "split", "parts", part, "num_images")
        assert ids == sorted(ids)
        place = "b" if part == "validation" else "a"
        assert strips.files(ids) == [strips.root / place / image_id for image_id in ids]


@pytest.mark.parametrize(
    ("source", "read"),
    [("train.csv", "train_images"), ("ann", "img"), ("labels.csv", "images")],
)
def test_the_folder_that_training_reads_comes_before_others_with_the_same_names(
    source, read, tmp_path
):
    places = {".", "annotated", "images", "img", read}
    for place in places:
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "a.jpg").write_text("")
    assert ImageFolder(tmp_path, source).find("a.jpg") == tmp_path / read / "a.jpg"
    assert image_folder(tmp_path, source) == tmp_path / read
    (tmp_path / source).touch()  # no record says which is read, but one labels it
    assert ImageFolder(tmp_path).find("a.jpg") == tmp_path / read / "a.jpg"


def test_other_folders_are_looked_into_last_and_not_without_end(tmp_path, monkeypatch):
    for place in ("images/a.jpg", "one/b.jpg", "two/c.jpg"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text("")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "far").symlink_to(tmp_path / "two")
    walked, walk = [], strips_module._folders_below

    def counted(root):
        for folder in walk(root):
            walked.append(folder.name)
            yield folder

    monkeypatch.setattr(strips_module, "_folders_below", counted)
    monkeypatch.setattr(strips_module, "_MOST_FOLDERS", 4)
    images = ImageFolder(tmp_path, "labels.csv")
    assert images.find("a.jpg") == tmp_path / "images" / "a.jpg"
    assert walked == []
    assert images.find("b.jpg") == tmp_path / "one" / "b.jpg"
    assert images.find("c.jpg") == tmp_path / "far" / "c.jpg"
    assert images.find("d.jpg") is None
    assert walked == [tmp_path.name, "far", "images", "one"]


def test_a_root_that_is_given_wins(experiment, tmp_path):
    image_id = Strips(experiment).ids("test")[0]
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / image_id).write_text("")
    strips = Strips(experiment, moved)
    assert strips.find(image_id) == moved / image_id
    other = strips.ids("train")[0]
    with pytest.raises(
        InputError, match=rf"{re.escape(str(moved))}: holds no {other}.*--data-root"
    ):
        strips.files([image_id, other])


def test_no_folder_is_an_error_only_where_it_was_given(experiment, tmp_path):
    results = {**experiment.results, "data": {**experiment.results["data"], "root": "gone"}}
    gone = Experiment(experiment.path, results)
    with pytest.raises(InputError, match="nowhere is not a folder"):
        Strips(gone, tmp_path / "nowhere")
    strips = Strips(gone)
    assert strips.find(strips.ids("test")[0]) is None
    with pytest.raises(InputError, match=r"gone: holds no .*experiment_a.*--data-root"):
        strips.files(strips.ids("test"))


def test_an_id_does_not_lead_out_of_the_data_set(experiment):
    (Path(experiment.path) / "secret.jpg").write_text("")
    strips = Strips(experiment)
    assert strips.find("../secret.jpg") is None
    assert strips.find(str(experiment.path / "secret.jpg")) is None
    assert strips.find("x" * 300) is None
