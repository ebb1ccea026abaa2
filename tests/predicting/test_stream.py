"""Predicting a stream of images: in order, and never far ahead."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from core.data.image_folder import EXTENSIONS
from core.data.images import ImageFormat
from core.errors import InputError
from core.files.resizing import Resize
from core.predicting.image_list import ImageList
from core.predicting.stream import BATCHES_AHEAD, predict_images, read_strip


def mean_of(images: np.ndarray) -> np.ndarray:
    return images.mean((1, 2, 3))[:, None] / 255


def read(path: Path) -> np.ndarray:
    if path.name.startswith("bad"):
        raise InputError(f"{path}: bad")
    return np.full((1, 2, 3), int(path.name), np.uint8)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_rows_come_in_order(batch_size):
    names = [f"bad{i}" if i % 4 == 1 else str(i) for i in range(30)]
    rows = list(predict_images(mean_of, names, read, batch_size))
    assert [row.image for row in rows] == names
    for index, row in enumerate(rows):
        if index % 4 == 1:
            assert row.probabilities is None
            assert row.error == f"bad{index}: bad"
        else:
            assert row.probabilities == pytest.approx([index / 255])
            assert (row.pixels == np.full((1, 2, 3), index)).all()


def test_no_more_is_read_than_a_few_batches_ahead():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield str(taken % 200)

    rows = predict_images(mean_of, endless(), read, 4)
    for count in range(1, 200):
        next(rows)
        assert taken <= count + 4 * (BATCHES_AHEAD + 1)
    rows.close()


def test_an_error_of_the_project_is_not_taken_for_a_bad_image():
    def broken(path):
        raise RuntimeError("defect")

    with pytest.raises(RuntimeError, match="defect"):
        list(predict_images(mean_of, ["1"], broken, 2))


def test_the_advice_about_a_size_is_that_for_a_trained_model(tmp_path, monkeypatch):
    class Signature:
        image_format = ImageFormat((32, 160))

    file = tmp_path / "strip.png"
    cv2.imwrite(str(file), np.zeros((32, 100), np.uint8))
    with pytest.raises(InputError, match="the only size that this model takes: give it strips of"):
        read_strip(file, Signature)
    # One that resizes has no such size, only a largest one.
    Signature.image_format = ImageFormat(Resize((32, 160)))
    monkeypatch.setattr("core.data.images._MOST_PIXELS", 1000)
    with pytest.raises(InputError, match=r"a side: cut the image, or leave it out$"):
        read_strip(file, Signature)


def test_null_bytes_make_a_bad_row():
    (row,) = predict_images(mean_of, ["a\0b"], read, 2)
    assert "null byte" in row.error


def test_a_list_knows_its_length_where_that_can_be_known(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_text("")
    listed = ImageList([str(tmp_path), str(tmp_path / "notes.txt")], (".jpg", ".png"), iter(()))
    assert listed.total == 3
    assert [Path(path).name for path in listed] == ["a.JPG", "b.png", "notes.txt"]
    listed = ImageList(["-", str(tmp_path)], (".jpg", ".png"), iter(["x.jpg\n", "\n", "y.jpg"]))
    assert listed.total is None
    assert [Path(path).name for path in listed] == ["x.jpg", "y.jpg", "a.JPG", "b.png"]


def test_images_in_sub_folders_are_listed_and_what_is_left_out_is_counted(tmp_path, caplog):
    for name in ("b.TIFF", "coil_7/a.jfif", "coil_7/a.bmp", "notes.txt", "c.pgm", "d.pgm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    listed = ImageList([str(tmp_path)], EXTENSIONS, iter(()))
    names = [str(Path(path).relative_to(tmp_path)) for path in listed]
    assert names == ["b.TIFF", "coil_7/a.bmp", "coil_7/a.jfif"]
    assert listed.total == 3
    (record,) = caplog.records
    assert "3 files that are no images are left out: 2 '.pgm', 1 '.txt'" in record.getMessage()
    assert "2 images are in sub-folders: 2 'coil_7'" in record.getMessage()
    caplog.clear()
    listed = ImageList([str(tmp_path / "**" / "*.*")], EXTENSIONS, iter(()))
    assert listed.total == 3
    (record,) = caplog.records
    assert "3 files that are no images are left out: 2 '.pgm', 1 '.txt'" in record.getMessage()
