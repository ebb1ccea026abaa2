"""Choices are found again by everything that they depend on, and a damaged file is none."""

import pytest

from core.autotuning.remembered import recall, remember

KEY = {"processor": "P", "model": {"name": "resnet50"}, "images": [8, 1, 64, 320]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept_files(cache) -> list:
    return list(cache.rglob("*.json"))


def test_a_choice_is_found_by_its_key_alone():
    remember(KEY, {"channels_last": True})
    assert recall(KEY) == {"channels_last": True}
    for name in KEY:
        assert recall({**KEY, name: "other"}) is None
    remember(KEY, {"channels_last": False})
    assert recall(KEY) == {"channels_last": False}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"choice": {}}', '{"key": 1}', "\0"])
def test_a_damaged_file_is_measured_again(content, cache):
    remember(KEY, {"channels_last": True})
    (file,) = kept_files(cache)
    file.write_text(content)
    assert recall(KEY) is None
    remember(KEY, {"channels_last": True})
    assert recall(KEY) == {"channels_last": True}


def test_a_file_of_another_key_is_not_taken(cache):
    remember({**KEY, "processor": "Q"}, {"channels_last": False})
    (other,) = kept_files(cache)
    content = other.read_text()
    other.unlink()
    remember(KEY, {"channels_last": True})
    (file,) = kept_files(cache)
    file.write_text(content)
    assert recall(KEY) is None


def test_a_folder_that_cannot_be_written_to_costs_the_memory_only(cache):
    cache.write_text("a file where the folder should be")
    remember(KEY, {"channels_last": True})
    assert recall(KEY) is None
