"""ClassId n is class n of the data set, whatever the order in which classes are asked for."""

import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv

from core.data.annotations import read_label_table
from core.data.model_labels import read_model_labels
from core.errors import InputError

FIRST, SECOND, *_ = strip_ids(4)
NAMES = ("defect_1", "defect_2", "defect_3", "defect_4")
ROWS = [f"{FIRST},1,1 3", f"{FIRST},4,9 2", f"{SECOND},2,{SIZE[0]} 2"]


@pytest.fixture
def root(tmp_path):
    return kaggle_folder(tmp_path, ROWS)


def class_file(root, *names):
    write_csv(root / "classes.txt", names)
    return root


@pytest.mark.parametrize("trained_on", ["labels.csv", "ann", None])
def test_a_model_of_another_layout_finds_its_classes_by_name(root, trained_on):
    plain = read_label_table(root, image_size=SIZE)
    order = ("defect_4", "defect_2", "defect_1", "defect_3")
    table = read_model_labels(root, order, trained_on, SIZE)
    assert table.class_names == order
    columns = [NAMES.index(name) for name in order]
    np.testing.assert_array_equal(table.labels, plain.labels[:, columns])
    for index in range(len(table)):
        np.testing.assert_array_equal(table.masks[index], plain.masks[index][columns])


def test_a_model_of_a_numbered_table_gives_its_own_names_to_another(root):
    table = read_model_labels(root, ("pit", "scale", "crack", "scratch"), "train.csv", SIZE)
    assert table.label_set(0) == ("pit", "scratch")


def test_a_class_file_names_the_ids_and_wins_over_the_numbers_of_a_model(root):
    class_file(root, "pit", "scale", "", "crack", "scratch")
    assert read_label_table(root, image_size=SIZE).label_set(0) == ("pit", "scratch")
    for trained_on in ("train.csv", "labels.csv"):
        table = read_model_labels(root, ("scratch", "crack", "scale", "pit"), trained_on, SIZE)
        assert set(table.label_set(0)) == {"pit", "scratch"}
        assert table.label_set(1) == ("scale",)


@pytest.mark.parametrize("trained_on", ["labels.csv", "ann"])
def test_other_classes_are_refused_and_both_are_shown(root, trained_on):
    for names in (("pit", "crack"), NAMES[:3], (*NAMES, "pit")):
        with pytest.raises(InputError) as caught:
            read_model_labels(root, names, trained_on, SIZE)
        for words in (", ".join(NAMES), ", ".join(names), "train.csv", "classes.txt"):
            assert words in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [("defect_2", "defect_1"), ("defect_1", "defect_3"), ("pit", "b", "c", "d", "defect_1")],
)
def test_class_names_that_would_rename_an_id_are_refused(root, names):
    with pytest.raises(InputError) as caught:
        read_label_table(root, names, SIZE)
    for words in ("data.class_names=", ",".join(names), ", ".join(NAMES), "same order"):
        assert words in str(caught.value)


@pytest.mark.parametrize("names", [("pit", "crack"), ("crack", "pit", "scale"), ("pit",)])
def test_class_names_must_be_those_of_the_class_file(tmp_path, names):
    root = class_file(kaggle_folder(tmp_path, ROWS[:1]), "crack", "pit")
    assert read_label_table(root, ("crack", "pit"), SIZE).label_set(0) == ("crack",)
    with pytest.raises(InputError, match=r"classes\.txt.*same names in the same order"):
        read_label_table(root, names, SIZE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"pit\npit\n", ["classes.txt", "'pit'", "twice"]),
        (b"\n\n", ["classes.txt", "no class names"]),
        (b"a/b\n", ["classes.txt", "'a/b'"]),
        (b"\xff\n", ["classes.txt", "not UTF-8"]),
        (b"x" * 5000, ["classes.txt", "more than 4096 bytes"]),
    ],
)
def test_a_bad_class_file_is_named_in_one_line(root, content, words):
    (root / "classes.txt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_label_table(root, image_size=SIZE)
    assert all(word in str(caught.value) for word in words), caught.value
