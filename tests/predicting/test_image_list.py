"""The images that the words of a command line mean."""

import io

import pytest

from core.errors import InputError
from core.predicting.image_list import ImageList, check_no_models


def listed(*words: str) -> list[str]:
    return list(ImageList(words, (".jpg",), io.StringIO()))


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    for name in ("[v2]/a.jpg", "[v2]/x[1]/b.jpg", "v/c.jpg", "2/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def test_a_folder_that_exists_is_no_pattern(tmp_path):
    assert listed("[v2]/*.jpg") == ["[v2]/a.jpg"]
    assert listed("./[v2]/*.jpg") == ["./[v2]/a.jpg"]
    assert listed("[v2]/x[1]/?.jpg") == ["[v2]/x[1]/b.jpg"]
    assert listed("[v2]/**/*.jpg") == ["[v2]/a.jpg", "[v2]/x[1]/b.jpg"]
    assert listed(f"{tmp_path}/[v2]/*.jpg") == [f"{tmp_path}/[v2]/a.jpg"]


def test_a_folder_may_be_named_as_a_model_is(tmp_path):
    (tmp_path / "strips.zip").mkdir()
    check_no_models(["strips.zip", "v"], "advice")
    (tmp_path / "model.zip").touch()
    with pytest.raises(InputError, match=r"model\.zip is a model .* advice"):
        check_no_models(["model.zip"], "advice")


def test_other_patterns_stay_patterns():
    assert listed("[v]/*.jpg", "[23]/*.jpg") == ["v/c.jpg", "2/d.jpg"]
    assert listed("[[]v2]/*.jpg") == ["[v2]/a.jpg"]
    assert listed("*/d.jpg") == ["2/d.jpg"]
    with pytest.raises(InputError, match="matches no image"):
        listed("[v2]/*.png")
