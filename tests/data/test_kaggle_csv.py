import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv

from core.data.annotations import read_label_table
from core.errors import InputError

FIRST, SECOND, THIRD, FOURTH = strip_ids(4)
PIXELS = SIZE[0] * SIZE[1]


def test_rows_become_labels_and_masks_and_images_without_a_row_are_clean(tmp_path):
    kaggle_folder(tmp_path, [f"{THIRD},4,33 2", f"{FIRST},1,1 3", f"{THIRD},2,{PIXELS} 1"])
    table = read_label_table(tmp_path, image_size=SIZE)
    assert table.image_ids == tuple(strip_ids(4))
    assert table.class_names == ("defect_1", "defect_2", "defect_3", "defect_4")
    assert table.labels.tolist() == [[1, 0, 0, 0], [0] * 4, [0, 1, 0, 1], [0] * 4]
    assert table.source == "train.csv"
    masks = table.masks[2]
    assert masks.shape == (4, *SIZE)
    assert masks.sum(axis=(1, 2)).tolist() == [0, 1, 0, 2]
    assert masks[3, :2, 1].tolist() == [1, 1]
    assert masks[1, -1, -1] == 1
    assert not table.masks[3].any()


def test_the_older_layout_is_the_same_table(tmp_path):
    rows = [f"{FIRST},1,1 3", f"{THIRD},4,33 2"]
    newer = read_label_table(kaggle_folder(tmp_path / "newer", rows), image_size=SIZE)
    older_root = kaggle_folder(tmp_path / "older", [])
    codes = {(FIRST, 1): "1 3", (THIRD, 4): "33 2"}
    write_csv(
        older_root / "train.csv",
        ["ImageId_ClassId,EncodedPixels"]
        + [f"{i}_{c},{codes.get((i, c), '')}" for i in strip_ids(4) for c in (1, 2, 3, 4)],
    )
    older = read_label_table(older_root, image_size=SIZE)
    np.testing.assert_array_equal(older.labels, newer.labels)
    for index in range(4):
        np.testing.assert_array_equal(older.masks[index], newer.masks[index])
    assert older.fingerprint() == newer.fingerprint()


def test_class_names_rename_and_change_the_number(tmp_path):
    kaggle_folder(tmp_path, [f"{FIRST},2,1 3"])
    table = read_label_table(tmp_path, class_names=["pit", "crack"], image_size=SIZE)
    assert table.class_names == ("pit", "crack")
    assert table.labels[0].tolist() == [0, 1]
    assert table.masks[0].shape == (2, *SIZE)


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_harmless(tmp_path):
    kaggle_folder(tmp_path, [])
    text = f"ImageId,ClassId,EncodedPixels\r\n\r\n{SECOND} , 3 , 5 2 \r\n\r\n"
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_label_table(tmp_path, image_size=SIZE).labels[1].tolist() == [0, 0, 1, 0]


BAD_ROWS = {
    "missing image": (["absent.jpg,1,1 3"], ["line 2", "'absent.jpg'", "not in the image folder"]),
    "odd count": ([f"{FIRST},1,1 3", f"{SECOND},1,1 2 3"], ["line 3", SECOND, "3 numbers"]),
    "no numbers": ([f"{FIRST},1,abc"], ["line 2", FIRST, "ClassId 1", "'abc'"]),
    "overlong": ([f"{FIRST},1,{PIXELS} 2"], ["line 2", FIRST, "overlong", f"at most {PIXELS}"]),
    "empty code": ([f"{FIRST},1,"], ["line 2", FIRST, "EncodedPixels is empty"]),
    "class 0": ([f"{FIRST},0,1 3"], ["line 2", FIRST, "ClassId '0'", "from 1 to 4"]),
    "class 5": ([f"{FIRST},5,1 3"], ["line 2", FIRST, "ClassId '5'", "from 1 to 4"]),
    "class 1.5": ([f"{FIRST},1.5,1 3"], ["ClassId '1.5'"]),
    "clean and not": (
        [f"{FIRST},0,", f"{FIRST},1,1 3"],
        ["line 2", FIRST, "marked as clean", "other rows"],
    ),
    "class of other digits": ([f"{FIRST},²,1 3"], ["ClassId '²'"]),
    "no class": ([f"{FIRST},,1 3"], ["ClassId ''"]),
    "twice": (
        [f"{FIRST},1,1 3", f"{FIRST},2,1 3", f"{FIRST},1,9 3"],
        ["line 4", FIRST, "ClassId 1", "already stands on line 2"],
    ),
    "parent folder": (["../strip_000.jpg,1,1 3"], ["line 2", "'../strip_000.jpg'", "plain file"]),
    "absolute": (["/etc/passwd,1,1 3"], ["line 2", "'/etc/passwd'", "plain file name"]),
    "backslash": (["a\\b.jpg,1,1 3"], ["line 2", "plain file name"]),
    "dots": (["..,1,1 3"], ["line 2", "'..'", "plain file name"]),
    "cut off": (["strip_000.jpg,1"], ["line 2", "2 of 3 cells"]),
    "NUL": (["a\0.jpg,1,1 3"], ["line 2", "NUL byte"]),
    "no image": ([",1,1 3"], ["line 2", "''", "plain file name"]),
    "too many cells": ([f"{FIRST},1,1 3,9"], ["line 2", "comma-separated"]),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named_in_one_line(tmp_path, kind):
    rows, expected = BAD_ROWS[kind]
    kaggle_folder(tmp_path, rows)
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    line = str(caught.value)
    assert "\n" not in line
    for part in ["train.csv", *expected]:
        assert part in line


def test_a_misspelt_image_gets_the_nearest_one(tmp_path):
    kaggle_folder(tmp_path, ["strip_00l.jpg,1,1 3"])
    with pytest.raises(InputError, match=r"did you mean 'strip_00\d\.jpg'"):
        read_label_table(tmp_path, image_size=SIZE)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"Image,Class\na,b\n", "header 'Image,Class'"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'ImageId,ClassId,EncodedPixels\n"a,1,2\n', "comma-separated"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path, content, expected):
    kaggle_folder(tmp_path, [])
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    assert "train.csv" in str(caught.value)
    assert expected in str(caught.value)


def test_rows_of_the_older_layout_are_checked_alike(tmp_path):
    kaggle_folder(tmp_path, [])
    header = "ImageId_ClassId,EncodedPixels"
    for row, expected in (
        ("strip.jpg,1 2", "'strip.jpg' has no class id"),
        (f"{FIRST}_7,1 2", "ClassId '7'"),
        (f"absent.jpg_1,1 2\n{FIRST}_1,", "'absent.jpg' is not in the image folder"),
        (f"{FIRST}_1,\n{FIRST}_1,1 2", "already stands on line 2"),
    ):
        write_csv(tmp_path / "train.csv", [header, row])
        with pytest.raises(InputError) as caught:
            read_label_table(tmp_path, image_size=SIZE)
        assert expected in str(caught.value)


def test_blank_lines_count_in_line_numbers(tmp_path):
    kaggle_folder(tmp_path, ["", f"{FIRST},1,1 3", "", f"{FIRST},9,1 3"])
    with pytest.raises(InputError, match=r"train\.csv line 5, image strip_000\.jpg: ClassId '9'"):
        read_label_table(tmp_path, image_size=SIZE)
