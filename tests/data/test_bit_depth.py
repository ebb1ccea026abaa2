"""Images of more than 8 bits keep their grey levels, on one scale for the whole data set."""

import cv2
import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_strips
from test_image_files import tiff

from core.data.bit_depth import find_bit_depth
from core.data.image_cache import open_images
from core.data.images import check_header, read_image
from core.data.settings import DataSettings
from core.data.validation.validate import validate_data
from core.errors import InputError


def grey_levels(depth: int) -> np.ndarray:
    """All grey levels of that depth, evenly spaced."""
    return np.linspace(0, (1 << depth) - 1, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_the_depth_is_that_of_the_largest_value(tmp_path, depth, ending):
    values = grey_levels(depth)
    dark = values // 50
    paths = [write(tmp_path / f"{k}{ending}", v) for k, v in enumerate((dark, values, dark))]
    assert find_bit_depth(paths, "auto", SIZE) == depth
    for path, expected in zip(paths, (dark, values, dark), strict=True):
        check_header(path, SIZE)
        image = read_image(path, SIZE, bit_depth=depth)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected >> (depth - 8))
        np.testing.assert_array_equal(
            read_image(path, SIZE, channels=3, bit_depth=depth), np.dstack([image] * 3)
        )
    assert len(np.unique(read_image(paths[1], SIZE, bit_depth=depth))) == 256


@pytest.mark.parametrize("depth", [10, 12, 14])
def test_a_file_that_says_its_depth_is_read_by_it(tmp_path, depth):
    path = tmp_path / "packed.tif"
    path.write_bytes(tiff(grey_levels(depth), ">", depth))
    assert find_bit_depth([path], "auto", SIZE) == 8
    for given in (8, 12):
        image = read_image(path, SIZE, bit_depth=given)
        np.testing.assert_array_equal(image, grey_levels(depth) >> (depth - 8))


def test_colour_is_scaled_by_its_brightest_channel(tmp_path):
    values = grey_levels(12)
    path = write(tmp_path / "red.png", np.dstack([values // 9, values // 3, values]))
    assert find_bit_depth([path], "auto", SIZE) == 12
    image = read_image(path, SIZE, channels=3, bit_depth=12)
    np.testing.assert_array_equal(image, np.dstack([values, values // 3, values // 9]) >> 4)


def test_images_of_two_kinds_have_no_common_scale(tmp_path):
    wide = write(tmp_path / "wide.png", grey_levels(12))
    write_strips(tmp_path, ["plain.jpg"])
    plain = tmp_path / "plain.jpg"
    with pytest.raises(InputError) as caught:
        find_bit_depth([wide, plain], "auto", SIZE)
    assert all(word in str(caught.value) for word in [str(wide), str(plain), "data.bit_depth"])
    assert find_bit_depth([wide, plain], 12, SIZE) == 12
    np.testing.assert_array_equal(read_image(plain, SIZE, 1, 12), read_image(plain, SIZE))


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_values_beyond_the_depth_are_refused(tmp_path, depth):
    path = write(tmp_path / "bright.png", grey_levels(depth) + np.uint16(1))
    with pytest.raises(InputError) as caught:
        read_image(path, SIZE, bit_depth=depth)
    words = [str(path), f"up to {1 << depth}", f"at most {(1 << depth) - 1}", "data.bit_depth"]
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("read", [check_header, read_image])
def test_real_numbers_are_refused(tmp_path, read):
    path = write(tmp_path / "real.tif", grey_levels(12).astype(np.float32))
    with pytest.raises(InputError, match=r"real\.tif: samples of 32 bits; expected at most 16"):
        read(path, SIZE)


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_every_source_of_images_scales_alike(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    paths = [write(tmp_path / f"{k}.png", grey_levels(10) // k) for k in (1, 2, 3)]
    for depth in (10, 12):
        data = DataSettings(root=tmp_path, image_size=SIZE, cache=cache, bit_depth=depth)
        images = open_images(paths, data)
        np.testing.assert_array_equal(images.read(1), grey_levels(10) // 2 >> (depth - 8))


@pytest.mark.parametrize(
    ("depth", "usable"), [("auto", True), (12, True), (16, True), (10, False), (8, False)]
)
def test_a_validation_reads_as_training_does(tmp_path, depth, usable):
    rows = [f"{name[:-3]}png,{k % 4 + 1},1 5" for k, name in enumerate(strip_ids(16))]
    root = kaggle_folder(tmp_path, rows, num_images=0)
    for k in range(24):
        noise = np.random.default_rng(k).integers(900, 4000, (8, 16)).astype(np.float32)
        image = cv2.resize(noise, SIZE[::-1]).astype(np.uint16)
        write(root / "train_images" / f"strip_{k:03d}.png", image)
    settings = DataSettings(image_size=SIZE, num_workers=1, bit_depth=depth)
    validation = validate_data(root, settings)
    assert validation.usable == usable
    kinds = {finding.kind for finding in validation.findings if finding.level == "error"}
    assert ("image of another bit depth" in kinds) == (not usable)
    if depth == "auto":
        assert 100 < validation.inspections[0].grey.mean < 200
