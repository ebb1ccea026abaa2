"""Images that cannot be used: refused, or left out before the split and listed."""

import logging

import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv, write_strips

from core.data.annotations import read_label_table
from core.data.dataset import StripDataset
from core.data.loaders import make_loader
from core.data.split_file import read_split
from core.errors import InputError

ROWS = ["strip_000.jpg,1,1 3", "strip_001.jpg,2,5 2", "strip_002.jpg,3,7 1", "strip_005.jpg,4,9 9"]


@pytest.fixture
def root(tmp_path):
    """Six strips: the second is cut off, the fourth of another size, the fifth garbage inside."""
    root = kaggle_folder(tmp_path, ROWS, num_images=6)
    images = root / "train_images"
    second = images / "strip_001.jpg"
    second.write_bytes(second.read_bytes()[:-100])
    write_strips(images, ["strip_003.jpg"], size=(16, 16))
    fifth = images / "strip_004.jpg"
    data = fifth.read_bytes()
    scan = data.index(b"\xff\xda") + 14
    fifth.write_bytes(data[:20] + b"\xff" * (scan - 20) + data[scan:])
    return root


def test_by_default_the_first_one_ends_the_reading(root):
    with pytest.raises(InputError, match=r"strip_001\.jpg: truncated"):
        read_label_table(root, image_size=SIZE)


def test_skipped_images_are_listed_and_the_others_keep_their_labels_and_masks(root, caplog):
    whole = kaggle_folder(root / "whole", ROWS, num_images=6)
    expected = read_label_table(whole, image_size=SIZE)
    with caplog.at_level(logging.WARNING):
        table = read_label_table(root, image_size=SIZE, on_bad_image="skip")
    assert list(table.skipped) == [strip_ids(6)[i] for i in (1, 3, 4)]
    for reason, words in zip(
        table.skipped.values(), ["truncated", "16x16", "strip_004"], strict=True
    ):
        assert words in reason
    (record,) = caplog.records
    assert "3 of 6 images are skipped" in record.getMessage()
    kept = [0, 2, 5]
    assert table.image_ids == tuple(strip_ids(6)[index] for index in kept)
    np.testing.assert_array_equal(table.labels, expected.labels[kept])
    assert not table.labels.flags.writeable
    for position, index in enumerate(kept):
        np.testing.assert_array_equal(table.masks[position], expected.masks[index])
        assert table.image_paths[position].name == table.image_ids[position]


def test_rows_of_a_skipped_image_are_checked_all_the_same(root):
    write_csv(root / "train.csv", ["ImageId,ClassId,EncodedPixels", "strip_001.jpg,9,1 3"])
    with pytest.raises(InputError, match="ClassId '9'"):
        read_label_table(root, image_size=SIZE, on_bad_image="skip")


def test_nothing_is_skipped_of_good_images(tmp_path, caplog):
    root = kaggle_folder(tmp_path, ROWS, num_images=6)
    table = read_label_table(root, image_size=SIZE, on_bad_image="skip")
    assert not table.skipped
    assert not caplog.records


def test_a_size_that_fits_no_image_is_an_error(tmp_path):
    root = kaggle_folder(tmp_path, ROWS, num_images=6)
    with pytest.raises(InputError, match=r"images are 32x64 pixels.*data\.image_size=\[32,64\]"):
        read_label_table(root, image_size=(48, 64), on_bad_image="skip")


def test_what_follows_the_end_of_an_image_skips_none(tmp_path, caplog):
    root = kaggle_folder(tmp_path, ROWS, num_images=6)
    for number, path in enumerate(sorted((root / "train_images").iterdir())):
        path.write_bytes(path.read_bytes() + b"trailer" * number * 1000)
    assert len(read_label_table(root, image_size=SIZE)) == 6
    assert not read_label_table(root, image_size=SIZE, on_bad_image="skip").skipped
    assert not caplog.records


def test_a_split_file_may_name_what_is_skipped(root, tmp_path):
    table = read_label_table(root, image_size=SIZE, on_bad_image="skip")
    parts = ["train", "train", "validation", "test", "train", "test"]
    rows = [f"{name},{part}" for name, part in zip(strip_ids(6), parts, strict=True)]
    path = write_csv(tmp_path / "split.csv", ["image_id,split", *rows])
    split = read_split(path, table)
    assert {part: indices.tolist() for part, indices in split.items()} == {
        "train": [0],
        "validation": [1],
        "test": [2],
    }


@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_vanishes_or_turns_bad_in_an_epoch_is_an_error(tmp_path, on_bad_image, num_workers):
    root = kaggle_folder(tmp_path, ROWS, num_images=6)
    table = read_label_table(root, image_size=SIZE, on_bad_image=on_bad_image)
    loader = make_loader(
        StripDataset(table, range(6), SIZE), 1, seed=0, shuffle=False, num_workers=num_workers
    )
    table.image_paths[5].unlink()
    with pytest.raises(InputError, match=r"strip_005\.jpg: cannot be read") as caught:
        list(loader)
    assert "Traceback" not in str(caught.value)
    table.image_paths[5].write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"strip_005\.jpg: not an image"):
        list(loader)


def test_a_vanished_image_has_no_fingerprint(tmp_path):
    table = read_label_table(kaggle_folder(tmp_path, ROWS, num_images=6), image_size=SIZE)
    table.image_paths[2].unlink()
    with pytest.raises(InputError, match=r"strip_002\.jpg: cannot be read"):
        table.fingerprint()
