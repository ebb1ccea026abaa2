import numpy as np
import pytest
from strip_folders import write_csv

from core.data.label_table import LabelTable
from core.data.split_file import read_split, write_split
from core.data.splitting import split_by_strategy
from core.errors import InputError

IDS = ("a.jpg", "b.jpg", "c, with comma.jpg", "d.jpg")


@pytest.fixture
def table() -> LabelTable:
    return LabelTable((), IDS, np.zeros((4, 1), np.uint8), ("pit",), None, "test")


def split() -> dict[str, np.ndarray]:
    return {"train": np.array([0, 3]), "validation": np.array([2]), "test": np.array([1])}


def test_a_written_split_is_read_back_and_given_back_as_a_strategy(tmp_path, table):
    path = tmp_path / "run" / "split.csv"
    write_split(path, table, split())
    assert path.read_bytes() == (
        b'image_id,split\na.jpg,train\nb.jpg,test\n"c, with comma.jpg",validation\nd.jpg,train\n'
    )
    for found in (read_split(path, table), split_by_strategy(table, "file", 0, path)):
        assert list(found) == ["train", "validation", "test"]
        for part, indices in split().items():
            np.testing.assert_array_equal(found[part], indices)


@pytest.mark.parametrize(
    "change",
    [
        {"test": np.array([0, 1])},
        {"test": np.array([], int)},
        {"test": np.array([7])},
        {"other": np.array([], int)},
    ],
)
def test_writing_what_is_no_partition_is_a_programming_error(tmp_path, table, change):
    with pytest.raises(ValueError, match="cover 4 images once each"):
        write_split(tmp_path / "split.csv", table, split() | change)
    assert not (tmp_path / "split.csv").exists()


GOOD = ["a.jpg,train", "b.jpg,validation", '"c, with comma.jpg",test', "d.jpg,train"]
BAD = {
    "overlap": ([*GOOD, "a.jpg,test"], ["line 6", "a.jpg", "'test'", "line 2 in 'train'"]),
    "twice": ([*GOOD, "a.jpg,train"], ["line 6", "a.jpg", "already stands on line 2"]),
    "unknown image": ([*GOOD, "x.jpg,test"], ["line 6", "'x.jpg'", "not in the image folder"]),
    "path": ([*GOOD, "../a.jpg,test"], ["line 6", "plain file name"]),
    "missing image": (GOOD[:3], ["no row for image 'd.jpg'", "1 of 4"]),
    "unknown part": (["a.jpg,valdation"], ["line 2", "did you mean 'validation'", "test"]),
    "no part": (["a.jpg"], ["line 2", "1 of 2 cells"]),
    "empty part": ([row.replace("test", "train") for row in GOOD], ["no image in part 'test'"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_split_file_is_named_in_one_line(tmp_path, table, kind):
    rows, expected = BAD[kind]
    path = write_csv(tmp_path / "split.csv", ["image_id,split", *rows])
    with pytest.raises(InputError) as caught:
        split_by_strategy(table, "file", 0, path)
    for part in ["split.csv", *expected]:
        assert part in str(caught.value)


def test_a_file_without_header_or_no_file_is_refused(tmp_path, table):
    path = write_csv(tmp_path / "split.csv", GOOD)
    with pytest.raises(InputError, match=r"line 1: header 'a\.jpg,train'"):
        read_split(path, table)
    with pytest.raises(InputError, match=r"data\.split_file=.*absent\.csv is not a file"):
        read_split(tmp_path / "absent.csv", table)
