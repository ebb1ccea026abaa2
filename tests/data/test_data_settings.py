from pathlib import Path

import pytest

from core.data.settings import DataSettings
from core.errors import InputError
from core.validation import validate


def test_defaults_and_plain_lists():
    settings = validate(
        DataSettings,
        {"root": "strips", "image_size": [64, 128], "class_names": ["pit"], "class_shares": [0.3]},
        "data",
    )
    assert settings.root == Path("strips")
    assert settings.image_size == (64, 128)
    assert settings.class_names == ("pit",)
    assert settings.class_shares == (0.3,)
    assert DataSettings().image_size == (256, 1600)


@pytest.mark.parametrize("source", ["severstal", "synthetic"])
def test_each_source_has_a_folder_of_its_own(source):
    assert DataSettings(source=source).root == Path("data") / source


def test_every_key_says_what_it_is():
    assert all(field.description for field in DataSettings.model_fields.values())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", "kaggle"),
        ("batch_size", 0),
        ("num_workers", -1),
        ("channels", 2),
        ("bit_depth", 14),
        ("resize", [16, 16]),
        ("resize_mode", "letterbox"),
        ("image_size", [256, 20_000]),
        ("image_size", [256]),
        ("image_size", [0, 1600]),
        ("split_strategy", "random"),
        ("class_names", []),
        ("class_names", ["pit", "pit"]),
        ("class_shares", "even"),
        ("class_shares", [0.5, 1.5]),
        ("class_shares", []),
        ("num_images", 0),
        ("generation_seed", -1),
        ("label_noise_kind", "missing"),
    ],
)
def test_a_bad_value_names_its_key(key, value):
    with pytest.raises(InputError, match=rf"^data: {key}"):
        validate(DataSettings, {key: value}, "data")


@pytest.mark.parametrize("key", ["image_size", "resize"])
@pytest.mark.parametrize(
    ("value", "right"),
    [(256, "256,256"), ([128], "128,128"), ("256x1600", "256,1600"), ([1, 2, 3], "1,2"),
     ("large", "256,1600")],
)  # fmt: skip
def test_a_size_that_is_no_pair_gets_the_nearest_one(key, value, right):
    with pytest.raises(InputError) as caught:
        validate(DataSettings, {key: value}, "data")
    assert str(caught.value) == (
        f"data: {key}={value!r}: expected height and width, such as data.{key}=[{right}]"
    )


def test_an_unknown_key_gets_the_nearest():
    with pytest.raises(InputError, match="did you mean 'num_workers'"):
        validate(DataSettings, {"num_worker": 1}, "data")
