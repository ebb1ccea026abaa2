"""Data sets of images of several sizes, resized together with their masks."""

import json

import cv2
import numpy as np
import pytest
from strip_folders import kaggle_folder, strip_ids, write_csv, write_strips
from test_bitmap_json import content, item

from core.data.annotations import read_label_table
from core.data.images import check_header, read_image
from core.data.settings import DataSettings
from core.data.validation.validate import validate_data
from core.errors import InputError
from core.files.resizing import Resize
from core.files.run_length import encode

SIZES = [(32, 64), (64, 128), (40, 50), (16, 200)]
TARGET = (32, 96)
MODES = ("stretch", "letterbox")


def mask_of(size):
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
    return mask


def runs_in(root):
    """train.csv with a mask in the own size of each image."""
    for name, size in zip(strip_ids(4), SIZES, strict=True):
        write_strips(root / "train_images", [name], size)
    rows = [f"{n},{k + 1},{encode(mask_of(SIZES[k]))}" for k, n in enumerate(strip_ids(4)[1:], 1)]
    write_csv(root / "train.csv", ["ImageId,ClassId,EncodedPixels", *rows])


def bitmaps_in(root):
    """ann/ with the same masks."""
    for name, size in zip(strip_ids(4), SIZES, strict=True):
        write_strips(root / "img", [name], size)
    (root / "ann").mkdir()
    for k, (name, size) in enumerate(zip(strip_ids(4), SIZES, strict=True)):
        objects = [item(mask_of(size), (0, 0), f"defect_{k + 1}")] * (k > 0)
        text = json.dumps(content(*objects) | {"size": {"height": size[0], "width": size[1]}})
        (root / "ann" / f"{name}.json").write_text(text)


@pytest.mark.parametrize("layout", [runs_in, bitmaps_in])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
def test_masks_are_resized_as_their_images_are(tmp_path, layout, mode, on_bad_image):
    layout(tmp_path)
    resize = Resize(TARGET, mode)
    table = read_label_table(tmp_path, None, resize, on_bad_image)
    for index, path in enumerate(table.image_paths):
        stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(read_image(path, resize), resize.image(stored))
        expected = np.zeros((4, *SIZES[index]), np.uint8)
        expected[index] = mask_of(SIZES[index]) * (index > 0)
        np.testing.assert_array_equal(table.masks[index], resize.masks(expected))
        assert table.masks[index].any() == (index > 0)
    kept = table.masks.take([3, 1])
    np.testing.assert_array_equal(kept[0], table.masks[3])


def test_bad_images_are_skipped_and_the_masks_of_others_stay_theirs(tmp_path):
    runs_in(tmp_path)
    (tmp_path / "train_images" / strip_ids(4)[1]).write_bytes(b"\xff\xd8\xff half")
    resize = Resize(TARGET)
    table = read_label_table(tmp_path, None, resize, "skip")
    assert list(table.skipped) == [strip_ids(4)[1]]
    expected = np.zeros((4, *SIZES[2]), np.uint8)
    expected[2] = mask_of(SIZES[2])
    np.testing.assert_array_equal(table.masks[1], resize.masks(expected))


def test_a_code_must_fit_into_its_own_image(tmp_path):
    runs_in(tmp_path)
    last = SIZES[0][0] * SIZES[0][1]
    for code, fits in ((f"{last} 1", True), (f"{last} 2", False)):
        write_csv(
            tmp_path / "train.csv",
            ["ImageId,ClassId,EncodedPixels", f"{strip_ids(1)[0]},1,{code}"],
        )
        if fits:
            read_label_table(tmp_path, None, Resize(TARGET))
        else:
            with pytest.raises(InputError, match="for 32x64 pixels"):
                read_label_table(tmp_path, None, Resize(TARGET))


def test_a_validation_takes_what_training_takes(tmp_path):
    kaggle_folder(tmp_path, [f"{name},{k % 4 + 1},1 5" for k, name in enumerate(strip_ids(12))], 0)
    for k, name in enumerate(strip_ids(16)):
        write_strips(tmp_path / "train_images", [name], SIZES[k % 4])
    fixed = validate_data(tmp_path, DataSettings(image_size=SIZES[0], num_workers=1))
    assert not fixed.usable
    settings = DataSettings(resize=TARGET, num_workers=1, group_duplicates=False)
    resized = validate_data(tmp_path, settings)
    assert resized.usable
    assert {one.size for one in resized.inspections} == set(SIZES)


@pytest.mark.parametrize("read", [check_header, read_image])
@pytest.mark.parametrize("size", [(1, 40_000), (20_000, 20_000)])
def test_an_image_that_would_fill_the_memory_is_refused(tmp_path, read, size):
    path = tmp_path / "huge.png"
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    data[16:24] = size[1].to_bytes(4, "big") + size[0].to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]} pixels; expected at most"):
        read(path, Resize(TARGET))


def test_line_scan_images_of_16384_pixels(tmp_path):
    path = tmp_path / "line_scan.png"
    image = np.random.default_rng(0).integers(0, 256, (64, 16384), np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    assert DataSettings(image_size=(64, 16384)).image_format.size == (64, 16384)
    np.testing.assert_array_equal(read_image(path, (64, 16384)), image)
    assert read_image(path, Resize((64, 1600))).shape == (64, 1600)
