"""Every image of a folder is found, and what is left out is counted."""

import logging

import cv2
import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv, write_strips

from core.data.annotations import read_label_table
from core.data.image_folder import EXTENSIONS, images_below
from core.data.settings import DataSettings
from core.data.split_file import PARTS, read_split
from core.data.validation.validate import validate_data
from core.errors import InputError
from core.experiments.strips import ImageFolder

ENCODER = {".jfif": ".jpg", ".dib": ".bmp"}


def write_image(path, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
    ending = path.suffix.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(ENCODER.get(ending, ending), image)[1].tobytes())
    return image


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_images_of_every_ending_are_read(tmp_path, change, caplog):
    root = kaggle_folder(tmp_path, [], num_images=0)
    names = [f"strip{change(ending)}" for ending in EXTENSIONS]
    for name in names:
        write_image(root / "train_images" / name)
    write_csv(root / "train.csv", ["ImageId,ClassId,EncodedPixels", f"{names[5]},2,1 3"])
    table = read_label_table(root, image_size=SIZE)
    assert sorted(table.image_ids) == sorted(names)
    assert table.labels[table.image_ids.index(names[5])].tolist() == [0, 1, 0, 0]
    assert not warnings(caplog)


def test_images_in_sub_folders_are_known_by_their_names(tmp_path, caplog):
    root = kaggle_folder(tmp_path, ["strip_001.jpg,1,1 3"], num_images=2)
    write_strips(root / "train_images" / "coil_7" / "top", ["strip_002.jpg"])
    (root / "train_images" / "strip_001.jpg").rename(
        root / "train_images" / "coil_7" / "strip_001.jpg"
    )
    table = read_label_table(root, image_size=SIZE)
    assert table.image_ids == tuple(strip_ids(3))
    assert table.labels.sum(axis=1).tolist() == [0, 1, 0]
    assert table.root == root
    (line,) = warnings(caplog)
    assert "2 images are in sub-folders: 1 'coil_7', 1 'coil_7/top'" in line
    for image_id, path in zip(table.image_ids, table.image_paths, strict=True):
        assert ImageFolder(root).find(image_id) == path


def test_images_of_one_name_are_told_apart_by_their_paths(tmp_path):
    root = tmp_path
    for coil in ("a", "b"):
        write_strips(root / "images" / coil, ["1.jpg"])
    write_strips(root / "images", ["2.jpg"])
    write_csv(root / "labels.csv", ["ImageId,pit", "b/1.jpg,1", "2.jpg,0", "a/1.jpg,0"])
    table = read_label_table(root, image_size=SIZE)
    assert table.image_ids == ("2.jpg", "a/1.jpg", "b/1.jpg")
    assert table.labels[:, 0].tolist() == [0, 0, 1]
    for image_id, path in zip(table.image_ids, table.image_paths, strict=True):
        assert ImageFolder(root).find(image_id) == path
    write_csv(root / "labels.csv", ["ImageId,pit", "1.jpg,1", "2.jpg,0", "a/1.jpg,0"])
    with pytest.raises(InputError, match=r"image '1\.jpg' is not in the image folder"):
        read_label_table(root, image_size=SIZE)


def test_the_path_of_every_image_is_an_id_as_well(tmp_path, caplog):
    write_strips(tmp_path / "images" / "cam1", ["1.jpg", "2.jpg", "3.jpg"])
    write_strips(tmp_path / "images" / "cam2", ["1.jpg"])
    (tmp_path / "images" / "cam1" / "3.jpg").write_bytes(b"damaged")
    ids = ["cam2/1.jpg", "cam1/1.jpg", "cam1/2.jpg", "cam1/3"]
    rows = ["ImageId,pit", *map("{},{}".format, ids, (0, 1, 0, 1))]
    write_csv(tmp_path / "labels.csv", rows)
    table = read_label_table(tmp_path, image_size=SIZE, on_bad_image="skip")
    assert table.image_ids == ("2.jpg", "cam1/1.jpg", "cam2/1.jpg")
    assert table.labels[:, 0].tolist() == [0, 1, 0]
    assert "accepted: image ids with a path (cam1/2.jpg at line 4); " in caplog.text
    parts = ["image_id,split", *map("{},{}".format, ids, PARTS), "3,test"]
    split = read_split(write_csv(tmp_path / "split.csv", parts), table)
    assert [found.tolist() for found in split.values()] == [[2], [1], [0]]
    for wrong in ("cam2/2.jpg", "cam1/../cam1/2.jpg", "/cam1/2.jpg", "../images/cam1/2.jpg"):
        write_csv(tmp_path / "labels.csv", [*rows[:3], f"{wrong},0", rows[4]])
        with pytest.raises(InputError, match=r"is not in the image folder|or its path below that"):
            read_label_table(tmp_path, image_size=SIZE, on_bad_image="skip")


def test_what_is_left_out_is_counted_in_one_line(tmp_path, caplog):
    root = kaggle_folder(tmp_path, [], num_images=2)
    images = root / "train_images"
    for name in ("a.pgm", "b.PGM", "notes.txt", "LICENSE", ".DS_Store"):
        (images / name).write_text("")
    write_strips(images / ".ipynb_checkpoints", ["strip_000-checkpoint.jpg"])
    write_strips(images, [".old_strip_000.jpg"])
    with caplog.at_level(logging.WARNING):
        assert len(read_label_table(root, image_size=SIZE)) == 2
    (line,) = warnings(caplog)
    assert str(images) in line
    counts = "2 '.pgm', 1 '.ipynb_checkpoints', 1 '.txt', 1 'LICENSE'"
    assert f"5 files that are no images are left out: {counts}" in line
    found = validate_data(root, DataSettings(image_size=SIZE, num_workers=1)).findings
    assert line in [finding.message for finding in found if finding.level == "warning"]


def test_links_are_followed_and_may_lead_back(tmp_path):
    write_strips(tmp_path / "kept", ["a.jpg"])
    folder = tmp_path / "images"
    write_strips(folder, ["b.jpg"])
    (folder / "linked").symlink_to(tmp_path / "kept")
    (folder / "loop").symlink_to(folder)
    (folder / "circle").symlink_to(folder / "circle")
    assert [path.name for path in images_below(folder)] == ["b.jpg", "a.jpg"]
    assert ImageFolder(folder).find("a.jpg") == folder / "linked" / "a.jpg"


def test_hidden_images_and_folders_are_left_out(tmp_path):
    write_strips(tmp_path, ["a.jpg", "._a.jpg"])
    write_strips(tmp_path / ".b.jpg", ["b.jpg"])
    write_strips(tmp_path / "coil" / ".trash", ["c.jpg"])
    assert images_below(tmp_path) == [tmp_path / "a.jpg"]


def test_a_folder_that_ends_as_images_do_is_refused(tmp_path):
    root = kaggle_folder(tmp_path, [], num_images=2)
    (root / "train_images" / "strip_002.jpg").mkdir()
    with pytest.raises(InputError, match=r"strip_002\.jpg: cannot be read"):
        read_label_table(root, image_size=SIZE)
