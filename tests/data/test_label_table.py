import pickle
import re
import shutil

import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv, write_strips

from core.data.annotations import read_label_table
from core.errors import InputError
from core.files.run_length import encode

FIRST, SECOND, *_ = strip_ids(4)


def test_the_real_sample(severstal_sample):
    table = read_label_table(severstal_sample)
    assert len(table) == len(table.image_paths) == 100
    assert table.labels.sum(axis=0).tolist() == [20, 20, 20, 20]
    assert (table.labels.sum(axis=1) == 0).sum() == 20
    assert list(table.image_ids) == sorted(table.image_ids)
    lines = (severstal_sample / "train.csv").read_text().split()[1:]
    assert len(lines) > 80
    with (severstal_sample / "train.csv").open() as stream:
        next(stream)
        for line in stream:
            image_id, class_id, code = line.strip().split(",")
            masks = table.masks[table.image_ids.index(image_id)]
            assert encode(masks[int(class_id) - 1]) == code


def test_the_original_table_wins_over_other_layouts_beside_it(tmp_path):
    kaggle_folder(tmp_path, [f"{FIRST},1,1 3"])
    (tmp_path / "ann").mkdir()
    write_csv(tmp_path / "labels.csv", ["nonsense"])
    assert read_label_table(tmp_path, image_size=SIZE).source == "train.csv"


def label_csv(root, changes):
    """labels.csv as train.csv has it, but for the cells that `changes` names."""
    labels = read_label_table(root, image_size=SIZE).labels.copy()
    for cell in changes:
        labels[cell] ^= 1
    cells = zip(strip_ids(4), labels.tolist(), strict=True)
    rows = [",".join([name, *map(str, row)]) for name, row in cells]
    write_csv(root / "labels.csv", ["ImageId,defect_1,defect_2,defect_3,defect_4", *rows])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], []),
        ([(0, 0)], [f"{FIRST}: defect_1 is in train.csv, but no label of it in labels.csv"]),
        (
            [(1, 3)],
            [f"{SECOND} (defect_4)", "no pixels of it in train.csv", "missing_masks=ignore"],
        ),
        ([(0, 0), (0, 1), (1, 3), (1, 2)], [FIRST, "remove labels.csv"]),
    ],
)
def test_labels_that_contradict_the_masks_are_refused(tmp_path, changes, words, caplog):
    kaggle_folder(tmp_path, [f"{FIRST},1,1 3"])
    label_csv(tmp_path, changes)
    if not changes:
        assert read_label_table(tmp_path, image_size=SIZE).source == "train.csv"
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
        return
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["ImageId,pit", f"{FIRST},1"], "no column 'defect_1'"),
        (["ImageId,defect_1,defect_2,defect_3,defect_4", f"{FIRST},1,0,0,0"], "no row for image"),
    ],
)
def test_labels_that_cannot_be_compared_are_said_and_left_alone(tmp_path, rows, reason, caplog):
    kaggle_folder(tmp_path, [f"{FIRST},1,1 3"])
    write_csv(tmp_path / "labels.csv", rows)
    assert read_label_table(tmp_path, image_size=SIZE).source == "train.csv"
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "Not compared with train.csv" in warning
    assert reason in warning


def test_the_fingerprint_follows_labels_ids_and_files_but_not_the_place(tmp_path):
    root = kaggle_folder(tmp_path / "a", [f"{FIRST},1,1 3"])
    before = read_label_table(root, image_size=SIZE).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", before)
    moved = tmp_path / "b"
    shutil.copytree(root, moved)
    assert read_label_table(moved, image_size=SIZE).fingerprint() == before
    write_csv(moved / "train.csv", ["ImageId,ClassId,EncodedPixels", f"{FIRST},2,1 3"])
    relabelled = read_label_table(moved, image_size=SIZE).fingerprint()
    with (root / "train_images" / SECOND).open("ab") as stream:
        stream.write(b"\0")
    touched = read_label_table(root, image_size=SIZE).fingerprint()
    assert len({before, relabelled, touched}) == 3


def test_a_table_survives_pickling_and_its_labels_cannot_be_changed(tmp_path):
    table = read_label_table(kaggle_folder(tmp_path, [f"{FIRST},1,1 3"]), image_size=SIZE)
    copy = pickle.loads(pickle.dumps(table))
    np.testing.assert_array_equal(copy.masks[0], table.masks[0])
    with pytest.raises(ValueError, match="read-only"):
        table.labels[0, 0] = 0


def test_files_that_are_no_images_are_left_alone(tmp_path):
    kaggle_folder(tmp_path, [])
    (tmp_path / "train_images" / "Thumbs.db").write_bytes(b"x")
    assert len(read_label_table(tmp_path, image_size=SIZE)) == 4


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_there_says_what_was_looked_for_and_how_to_go_on(tmp_path, exists):
    root = tmp_path if exists else tmp_path / "absent"
    with pytest.raises(InputError) as caught:
        read_label_table(root)
    for part in (
        f"data.root={root}",
        "holds no data set" if exists else "does not exist",
        "train.csv",
        "ann/",
        "labels.csv",
        "severstal-steel-defect-detection",
        "experiment=quickstart",
    ):
        assert part in str(caught.value)


def test_a_root_that_is_a_file_a_missing_and_an_empty_image_folder(tmp_path):
    table = write_csv(tmp_path / "train.csv", ["ImageId,ClassId,EncodedPixels"])
    with pytest.raises(InputError, match=r"data\.root=.* is a file"):
        read_label_table(table)
    with pytest.raises(InputError, match=r"found train\.csv but no image folder.* train_images/"):
        read_label_table(tmp_path)
    (tmp_path / "train_images").mkdir()
    with pytest.raises(InputError, match=r"train_images: no images; expected files"):
        read_label_table(tmp_path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"hello", "not an image"), (None, "truncated"), ("other", "16x64 pixels")],
)
def test_a_bad_image_is_found_at_once(tmp_path, data, expected):
    kaggle_folder(tmp_path, [])
    path = tmp_path / "train_images" / SECOND
    if data == "other":
        write_strips(path.parent, [SECOND], (16, 64))
    else:
        path.write_bytes(data or path.read_bytes()[:-40])
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
def test_a_size_that_is_not_that_of_the_images_blames_no_label(tmp_path, on_bad_image):
    """The masks do not fit into it, but they are right."""
    kaggle_folder(tmp_path, [f"{FIRST},1,{SIZE[0] * SIZE[1]} 1"])
    for size in ((16, 32), (64, 128)):
        with pytest.raises(InputError) as caught:
            read_label_table(tmp_path, image_size=size, on_bad_image=on_bad_image)
        line = str(caught.value)
        words = ["the images are 32x64", "set data.image_size=[32,64]", "data.resize=[{},{}]"]
        assert all(word.format(*size) in line for word in words), line
        assert "code" not in line


def test_masks_of_larger_images_suggest_the_larger_images(tmp_path):
    kaggle_folder(tmp_path, [f"{FIRST},1,{4 * SIZE[0] * SIZE[1]} 1"])
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    line = str(caught.value)
    assert f"{FIRST}, ClassId 1: overlong run-length code" in line
    assert line.index("masks are those of larger images") < line.index("correct the code")
    assert f"data.resize=[{SIZE[0]},{SIZE[1]}]" in line


def test_a_file_name_that_cannot_stand_in_a_table_is_refused(tmp_path):
    kaggle_folder(tmp_path, [])
    write_strips(tmp_path / "train_images", ["two\nlines.jpg"])
    with pytest.raises(InputError, match=r"'two\\nlines\.jpg' is not a plain file name"):
        read_label_table(tmp_path, image_size=SIZE)


@pytest.mark.parametrize(
    ("names", "expected"), [([], "no class names"), (["a", "a"], "twice"), (["a,b"], "'a,b'")]
)
def test_bad_class_names_are_refused(tmp_path, names, expected):
    kaggle_folder(tmp_path, [])
    with pytest.raises(InputError, match=expected) as caught:
        read_label_table(tmp_path, names, SIZE)
    assert "data.class_names" in str(caught.value)
