"""Files are whole or absent."""

import json

import numpy as np
import pytest

from core.files.writing import replacing, write_json, write_text


def test_undefined_numbers_become_null_and_numpy_is_unwrapped(tmp_path):
    path = tmp_path / "deep" / "results.json"
    content = {
        "nan": float("nan"),
        "infinite": np.float64("inf"),
        "array": np.array([1, 2]),
        "tuple": (np.int64(3), True),
        1: path,
    }
    write_json(path, content)
    assert json.loads(path.read_text()) == {
        "nan": None,
        "infinite": None,
        "array": [1, 2],
        "tuple": [3, True],
        "1": str(path),
    }


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_are_as_readable_as_others(tmp_path):
    write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
