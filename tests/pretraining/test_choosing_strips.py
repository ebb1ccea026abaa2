"""Which strips are learned from, and one line for each mistake, before anything is written."""

import shutil
import tracemalloc

import numpy as np
import pytest
from conftest import REPOSITORY
from pretraining_runs import composed, write_labelled, write_strips

from core.errors import InputError
from core.pretraining import choosing
from core.pretraining.choosing import choose_strips
from core.pretraining.strips import PathList, Strips, ViewDataset
from core.pretraining.views import PairOfViews, ViewSettings


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("labelled"))


def refusal(*overrides) -> str:
    with pytest.raises(InputError) as caught:
        choose_strips(composed(*overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_only_the_training_part_of_a_labelled_set(labelled):
    config = composed(f"data.root={labelled}")
    chosen = choose_strips(config)
    np.testing.assert_array_equal(chosen.train, chosen.split["train"])
    assert set(chosen.watched) <= set(chosen.split["validation"])
    everything = choose_strips(composed(f"data.root={labelled}", "data.allow_all=true"))
    assert set(everything.train) == {*chosen.split["train"], *chosen.split["test"]}
    assert everything.part == "training and test"


def test_the_split_is_that_of_a_training(labelled, compose):
    from core.running.loading import choose_split, read_data

    config = compose(f"data.root={labelled}", "data.image_size=[32,64]")
    split = choose_split(config, read_data(config.data))
    chosen = choose_strips(composed(f"data.root={labelled}"))
    assert all(np.array_equal(split[part], chosen.split[part]) for part in split)


def test_a_folder_and_a_glob_hold_the_same(tmp_path):
    folder = write_strips(tmp_path / "strips", range(12))
    by_folder, by_glob = (
        choose_strips(composed(f"data.unlabelled={word}")) for word in (folder, f"{folder}/*.jpg")
    )
    assert by_folder.fingerprint == by_glob.fingerprint
    rows = np.concatenate([by_folder.train, by_folder.watched])
    assert sorted(rows.tolist()) == list(range(12))
    assert by_folder.strips.labels is None


def test_an_empty_folder_and_too_few_images(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "folder without images" in refusal(f"data.unlabelled={tmp_path / 'empty'}")
    one = write_strips(tmp_path / "one", [1])
    assert f"data.unlabelled={one}: 1 image; expected at least 4" in refusal(
        f"data.unlabelled={one}"
    )


def test_images_of_another_size(tmp_path):
    folder = write_strips(tmp_path / "strips", range(5))
    words = [f"data.unlabelled={folder}", "data.image_size=[32,96]"]
    assert "32x64 pixels (height x width); expected 32x96" in refusal(*words)
    resized = choose_strips(composed(f"data.unlabelled={folder}", "data.resize=[32,96]"))
    assert resized.strips.images.read(0).shape == (32, 96)


def test_labels_asked_of_strips_without_labels(tmp_path):
    folder = write_strips(tmp_path / "strips", range(5))
    with pytest.raises(InputError, match=r"method\.name=clip learns from labels, which these"):
        composed(f"data.unlabelled={folder}", "method.name=clip")


@pytest.mark.parametrize("name", ["simclr", "vicreg", "barlow_twins", "moco", "clip"])
def test_a_batch_of_one(name):
    with pytest.raises(InputError, match=r"^data\.batch_size=1: .*expected at least 2"):
        composed(f"method.name={name}", "data.batch_size=1")


def test_a_queue_that_is_no_multiple_of_the_batch():
    with pytest.raises(InputError, match=r"^method\.queue_size=100: .*data\.batch_size=6: give 96"):
        composed("method.name=moco", "method.queue_size=100")


def test_keys_without_effect_are_refused():
    from core.pretraining.settings import WITHOUT_EFFECT, check_values

    for section, keys in WITHOUT_EFFECT.items():
        for key in keys:
            content = composed().resolved()
            content[section][key] = None
            message = rf"^{section}\.{key}: has no effect in a pretraining"
            with pytest.raises(InputError, match=message):
                check_values(content)


def test_the_images_of_a_labelled_set_are_refused(labelled):
    message = refusal(f"data.unlabelled={labelled / 'images'}")
    assert f"is labelled by {labelled / 'labels.csv'}" in message
    assert f"give data.root={labelled} instead" in message
    chosen = choose_strips(
        composed(f"data.unlabelled={labelled / 'images'}", "data.allow_all=true")
    )
    assert len(chosen.train) + len(chosen.watched) == 40


@pytest.mark.parametrize("word", [".", "*.jpg", "link"])
def test_a_labelled_folder_is_known_by_any_name(labelled, word, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(labelled / "images")
    monkeypatch.chdir(tmp_path if word == "link" else labelled / "images")
    assert f"is labelled by {labelled / 'labels.csv'}" in refusal(f"data.unlabelled={word}")


def test_a_copy_of_a_test_image_is_found_by_its_content(labelled, tmp_path):
    folder = write_strips(tmp_path / "strips", range(100, 110))
    words = [f"data.unlabelled={folder}", f"data.root={labelled}"]
    chosen = choose_strips(composed(*words))
    assert chosen.labelled is not None  # for a probe
    test_image = chosen.labelled.table.image_paths[chosen.split["test"][0]]
    shutil.copy(test_image, folder / "another_name.jpg")
    assert f"another_name.jpg is the image {test_image.name}" in refusal(*words)
    choose_strips(composed(*words, "data.allow_all=true"))


def test_paths_are_kept_as_they_are():
    names = ["a/b.jpg", "ä/ö b.jpg", "x" * 300]
    paths = PathList(names)
    assert [str(path) for path in paths] == names
    assert [str(path) for path in paths[1:]] == names[1:]
    assert str(paths[-1]) == names[-1]
    with pytest.raises(IndexError):
        paths[3]


class OneImage:
    image = np.zeros((16, 64), np.uint8)

    def read(self, index, writable=True):
        return self.image


def held_by_the_project() -> int:
    """Bytes that its own lines hold; threads of earlier tests may still import something."""
    own = tracemalloc.Filter(True, str(REPOSITORY / "code" / "*"))
    found = tracemalloc.take_snapshot().filter_traces([own])
    return sum(each.size for each in found.statistics("filename"))


@pytest.mark.slow
def test_memory_stays_flat_with_200_000_files():
    """The paths take their letters and 8 bytes each, and reading batches adds nothing."""
    number = 200_000
    tracemalloc.start()
    try:
        paths = PathList(f"data/line_7/2026-11-28/strip_{n:09d}.jpg" for n in range(number))
        strips = Strips(OneImage(), paths)
        dataset = ViewDataset(strips, np.arange(number), PairOfViews(ViewSettings(), 0))
        built = held_by_the_project()
        for start in range(0, number, number // 20):
            dataset.__getitems__(range(start, start + 8))
        read = held_by_the_project()
    finally:
        tracemalloc.stop()
    assert built < number * 80
    assert read - built < 200_000


def test_watched_images_are_the_same_each_time():
    rows = np.arange(50)
    first, second = (choosing._some(rows, 7, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(first) == 7
    assert not np.array_equal(first, choosing._some(rows, 7, seed=4))
