"""Tables written in other ways that can have one meaning only: read, with one line that says so."""

import json
import unicodedata

import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv, write_strips

from core.data.annotations import read_label_table
from core.data.settings import DataSettings
from core.data.split_file import read_split
from core.data.validation.validate import validate_data
from core.errors import InputError

FIRST, SECOND, THIRD, FOURTH = strip_ids(4)
PLAIN = ["ImageId,ClassId,EncodedPixels", f"{FIRST},1,1 3", f"{THIRD},4,33 2"]
STEMS = [name.removesuffix(".jpg") for name in strip_ids(4)]

KAGGLE = {
    "decimals": (
        [PLAIN[0], f"{FIRST},1.0,1 3", f"{THIRD},4.00,33 2"],
        "ClassId with decimals (1.0 at line 2 and 1 more)",
    ),
    "class 0": ([*PLAIN, f"{SECOND},0,"], "rows without a class, as clean images (line 4)"),
    "class -1": ([*PLAIN, f"{SECOND},-1,-1"], "rows without a class, as clean images (line 4)"),
    "class -1.0": ([*PLAIN, f"{SECOND},-1.0,"], "ClassId with decimals (-1.0 at line 4); rows"),
    "no class": (
        [*PLAIN, f"{SECOND},,", f"{FOURTH},,"],
        "rows without a class, as clean images (line 4 and 1 more)",
    ),
    "index": (
        [",ImageId,ClassId,EncodedPixels", f"0,{FIRST},1,1 3", f"1,{THIRD},4,33 2"],
        "other columns, not read (one without a name)",
    ),
    "other columns": (
        ["ImageId,author,ClassId,EncodedPixels", f"{FIRST},a,1,1 3", f"{THIRD},b,4,33 2"],
        "other columns, not read (author)",
    ),
    "other order": (
        ["EncodedPixels,ImageId,ClassId", f"1 3,{FIRST},1", f"33 2,{THIRD},4"],
        "columns in another order (EncodedPixels,ImageId,ClassId)",
    ),
    "older, other columns": (
        ["author,EncodedPixels,ImageId_ClassId", f"a,1 3,{FIRST}_1", f"b,33 2,{THIRD}_4"],
        "other columns, not read (author)",
    ),
    "older, clean": (
        ["ImageId_ClassId,EncodedPixels", f"{FIRST}_1,1 3", f"{THIRD}_4,33 2", f"{SECOND}_0,"],
        "rows without a class, as clean images (line 4)",
    ),
    "no ending": (
        [PLAIN[0], f"{STEMS[0]},1,1 3", f"{STEMS[2]},4,33 2"],
        f"image ids without their ending ({STEMS[0]} at line 2 and 1 more)",
    ),
    "other case": (
        [PLAIN[0], f"{STEMS[0]}.JPG,1,1 3", PLAIN[2]],
        f"image ids with an ending in other case ({STEMS[0]}.JPG at line 2)",
    ),
}


@pytest.mark.parametrize("kind", KAGGLE)
def test_run_length_tables(kind, tmp_path, caplog):
    expected = read_label_table(kaggle_folder(tmp_path / "plain", PLAIN[1:]), image_size=SIZE)
    assert not caplog.records
    lines, words = KAGGLE[kind]
    root = kaggle_folder(tmp_path / "other", [])
    write_csv(root / "train.csv", lines)
    table = read_label_table(root, image_size=SIZE)
    assert table.fingerprint() == expected.fingerprint()
    for index in range(4):
        np.testing.assert_array_equal(table.masks[index], expected.masks[index])
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"{root / 'train.csv'}: accepted: ")
    assert words in line


LABELS = {
    "true and false": (
        ["ImageId,pit,crack", f"{FIRST},True,FALSE", f"{SECOND},false,true"],
        "True as 1 (line 2); FALSE as 0 (line 2); false as 0 (line 3); true as 1 (line 3)",
    ),
    "decimals": (
        ["ImageId,pit,crack", f"{FIRST},1.0,0.0", f"{SECOND},0.0,1.0"],
        "1.0 as 1 (line 2 and 1 more); 0.0 as 0 (line 2 and 1 more)",
    ),
    "index": (
        [",ImageId,pit,crack", f"0,{FIRST},1,0", f"1,{SECOND},0,1"],
        "an index, not read (column 1)",
    ),
    "index of pandas": (
        ["ImageId,Unnamed: 0,pit,crack", f"{FIRST},0,1,0", f"{SECOND},1,0,1"],
        "an index, not read (column 2)",
    ),
    "text": (
        ["comment,pit,ImageId,crack,a/b", f"new,1,{FIRST},0,", f",0,{SECOND},1,0.5"],
        "columns without a 0 or 1, not read (comment, a/b)",
    ),
    "no ending": (
        ["ImageId,pit,crack", f"{STEMS[0]},1,0", f"{SECOND},0,1"],
        f"image ids without their ending ({STEMS[0]} at line 2)",
    ),
}


def labelled(root, lines):
    write_strips(root / "images", [FIRST, SECOND])
    write_csv(root / "labels.csv", lines)
    return root


@pytest.mark.parametrize("kind", LABELS)
def test_label_tables(kind, tmp_path, caplog):
    lines, words = LABELS[kind]
    table = read_label_table(labelled(tmp_path, lines), image_size=SIZE)
    assert table.class_names == ("pit", "crack")
    assert table.labels.tolist() == [[1, 0], [0, 1]]
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line == f"{tmp_path / 'labels.csv'}: accepted: {words}"


def test_columns_beside_the_classes_are_named(tmp_path, caplog):
    caplog.set_level("INFO")
    lines = ["ImageId,pit,reviewed,crack", f"{FIRST},1,1,0", f"{SECOND},0,1,1"]
    root = labelled(tmp_path, lines)
    assert read_label_table(root, image_size=SIZE).class_names == ("pit", "reviewed", "crack")
    listed, warning = [record.message for record in caplog.records]
    assert "its columns are the classes pit, reviewed, crack" in listed
    assert "column reviewed is 1 in every row" in warning
    assert "data.class_names" in warning
    caplog.clear()
    assert read_label_table(root, ["pit", "crack"], SIZE).labels.tolist() == [[1, 0], [0, 1]]
    (warning,) = [record.message for record in caplog.records]
    assert "columns of other names, not read (reviewed)" in warning


def test_a_class_with_one_wrong_value_is_not_left_out(tmp_path):
    root = labelled(tmp_path, ["ImageId,pit,crack", f"{FIRST},1,0", f"{SECOND},x,1"])
    with pytest.raises(InputError, match=r"line 3: pit='x'; expected 0 or 1"):
        read_label_table(root, image_size=SIZE)


def composed_and_not() -> tuple[str, str]:
    return tuple(unicodedata.normalize(form, "größe_é.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("swapped", [False, True])
def test_ids_in_another_normal_form(swapped, tmp_path, caplog):
    file, written = composed_and_not()[:: -1 if swapped else 1]
    assert file != written
    write_strips(tmp_path / "train_images", [file])
    rows = ["ImageId,ClassId,EncodedPixels", f"{written},2,1 3"]
    write_csv(tmp_path / "train.csv", rows)
    table = read_label_table(tmp_path, image_size=SIZE)
    assert table.image_ids == (file,)
    assert table.label_set(0) == ("defect_2",)
    assert "another Unicode normal form" in caplog.text


def test_an_id_that_may_be_two_images_is_refused(tmp_path):
    kaggle_folder(tmp_path, [f"{STEMS[0]},1,1 3"])
    write_strips(tmp_path / "train_images", [f"{STEMS[0]}.jpeg"])
    with pytest.raises(InputError, match=r"line 2: image 'strip_000' may be .*jpeg, .*jpg"):
        read_label_table(tmp_path, image_size=SIZE)


def test_two_ids_of_one_image_are_one_label_twice(tmp_path):
    kaggle_folder(tmp_path, [f"{FIRST},1,1 3", f"{STEMS[0]},1,1 3"])
    with pytest.raises(InputError, match="already stands on line 2"):
        read_label_table(tmp_path, image_size=SIZE)


def test_annotations_of_images_without_their_ending(tmp_path, caplog):
    write_strips(tmp_path / "img", [FIRST])
    (tmp_path / "ann").mkdir()
    content = {"size": {"height": SIZE[0], "width": SIZE[1]}, "objects": []}
    (tmp_path / "ann" / f"{STEMS[0]}.json").write_text(json.dumps(content))
    assert len(read_label_table(tmp_path, image_size=SIZE)) == 1
    assert "without their ending" in caplog.text
    (tmp_path / "ann" / f"{FIRST}.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="expected one JSON per image"):
        read_label_table(tmp_path, image_size=SIZE)


def test_a_split_file_finds_images_alike(tmp_path, caplog):
    table = read_label_table(kaggle_folder(tmp_path, PLAIN[1:]), image_size=SIZE)
    parts = ("train", "train", "validation", "test")
    rows = [f"{stem},{part}" for stem, part in zip(STEMS, parts, strict=True)]
    split = read_split(write_csv(tmp_path / "split.csv", ["image_id,split", *rows]), table)
    assert split["train"].tolist() == [0, 1]
    assert "split.csv: accepted: image ids without their ending" in caplog.text


def test_validation_warns_of_what_training_accepts(tmp_path):
    root = kaggle_folder(tmp_path, [f"{STEMS[0]},1.0,1 3"])
    settings = DataSettings(image_size=SIZE, num_workers=1, group_duplicates=False)
    found = [f for f in validate_data(root, settings).findings if "accepted" in f.message]
    assert [finding.level for finding in found] == ["warning"]
