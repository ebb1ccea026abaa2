import pytest
from strip_folders import SIZE, strip_ids, write_csv, write_strips

from core.data.annotations import read_label_table
from core.errors import InputError

FIRST, SECOND, THIRD = strip_ids(3)
ROWS = [f"{THIRD},0,1", f"{FIRST},1,1", f"{SECOND},0,0"]


def folder(root, lines, images="train_images"):
    write_strips(root / images, strip_ids(3))
    write_csv(root / "labels.csv", lines)
    return root


@pytest.mark.parametrize("images", ["train_images", "images"])
def test_columns_are_the_classes_and_there_are_no_masks(tmp_path, images):
    table = read_label_table(folder(tmp_path, ["ImageId,pit,crack", *ROWS], images), None, SIZE)
    assert table.class_names == ("pit", "crack")
    assert table.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert table.masks is None
    assert table.source == "labels.csv"


def test_class_names_select_and_order_the_columns(tmp_path):
    folder(tmp_path, ["ImageId,pit,crack", *ROWS])
    assert read_label_table(tmp_path, ["crack"], SIZE).labels.tolist() == [[1], [0], [1]]
    swapped = read_label_table(tmp_path, ["crack", "pit"], SIZE)
    assert swapped.labels.tolist() == [[1, 1], [0, 0], [1, 0]]
    with pytest.raises(InputError, match=r"no column 'crak' \(did you mean 'crack'\?\)"):
        read_label_table(tmp_path, ["crak"], SIZE)


HEADER = "ImageId,pit,crack"
BAD = {
    "value 2": (
        [HEADER, f"{FIRST},2,0", f"{SECOND},1,0"],
        ["line 2", "pit='2'", "expected 0 or 1"],
    ),
    "empty value": (
        [HEADER, f"{FIRST},0,", f"{SECOND},0,1"],
        ["line 2", "crack=''", "expected 0 or 1"],
    ),
    "no class": (["ImageId", FIRST], ["line 1", "header 'ImageId'"]),
    "other header": (["id,pit", f"{FIRST},0"], ["line 1", "header 'id,pit'"]),
    "column twice": (["ImageId,pit,pit", f"{FIRST},0,0"], ["line 1", "'pit'", "twice"]),
    "column without name": (["ImageId,pit,", f"{FIRST},0,0"], ["line 1", "class name ''"]),
    "column with slash": (["ImageId,a/b", f"{FIRST},0"], ["line 1", "class name 'a/b'"]),
    "image twice": ([HEADER, *ROWS, ROWS[0]], ["line 5", THIRD, "already stands on line 2"]),
    "image missing": ([HEADER, "absent.jpg,0,1"], ["line 2", "'absent.jpg'"]),
    "path": ([HEADER, "../a.jpg,0,1"], ["line 2", "'../a.jpg'", "plain file name"]),
    "row missing": ([HEADER, *ROWS[:2]], [f"'{SECOND}'", "1 of 3 images have none"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_table_is_named_in_one_line(tmp_path, kind):
    lines, expected = BAD[kind]
    folder(tmp_path, lines)
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    for part in ["labels.csv", *expected]:
        assert part in str(caught.value)
