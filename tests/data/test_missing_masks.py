"""Labels without a mask, and masks that a resize would erase."""

from dataclasses import replace

import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv

from core.data.annotations import read_label_table
from core.data.dataset import MaskRequest, StripDataset
from core.data.label_agreement import without_masks_of
from core.data.resized_masks import check_resized_masks, count_lost_masks
from core.data.settings import DataSettings
from core.data.validation.validate import validate_data
from core.errors import InputError
from core.files.resizing import Resize

FIRST, SECOND, THIRD, FOURTH = strip_ids(4)
# The second strip shows a class with a mask and one without.
ROWS = [f"{FIRST},1,1 3", f"{SECOND},1,1 3", f"{THIRD},2,{10 * SIZE[0] + 1} 200"]
LABELS = [f"{FIRST},1,0", f"{SECOND},1,1", f"{THIRD},0,1", f"{FOURTH},0,0"]


@pytest.fixture
def root(tmp_path):
    kaggle_folder(tmp_path, ROWS)
    write_csv(tmp_path / "labels.csv", ["ImageId,pit,crack", *LABELS])
    return tmp_path


def test_a_missing_mask_is_an_error_that_lists_the_image_and_the_remedy(root):
    with pytest.raises(InputError) as caught:
        read_label_table(root, image_size=SIZE)
    line = str(caught.value)
    for words in (str(root), "1 images", f"{SECOND} (crack)", "data.missing_masks=ignore"):
        assert words in line
    assert FIRST not in line


def test_masks_that_are_named_are_not_used(root):
    (root / "labels.csv").unlink()
    table = read_label_table(root, image_size=SIZE)
    assert without_masks_of(table, ()) is table
    named = without_masks_of(table, (THIRD, FIRST))
    assert named.masks.missing == {0: [0], 2: [1]}
    assert named.labels is table.labels
    assert named.has_masks().tolist() == [False, True, False, True]
    for wrong, found in ((FOURTH, "shows no class"), ("x.jpg", "no image of this id")):
        with pytest.raises(InputError, match=rf"unused_masks=.*: {wrong}: .*{found}"):
            without_masks_of(table, (FIRST, wrong))
    with pytest.raises(InputError, match="has no masks: leave it out"):
        without_masks_of(replace(table, masks=None), (FIRST,))


def test_a_long_list_is_cut(tmp_path):
    names = strip_ids(30)
    kaggle_folder(tmp_path, [], 30)
    write_csv(tmp_path / "labels.csv", ["ImageId,pit", *(f"{name},1" for name in names)])
    with pytest.raises(InputError, match=rf"{names[19]} \(pit\) and 10 more"):
        read_label_table(tmp_path, image_size=SIZE)


def test_an_image_with_a_missing_mask_keeps_its_labels_and_none_of_its_masks(root, caplog):
    table = read_label_table(root, image_size=SIZE, missing_masks="ignore")
    assert f"{SECOND} (crack)" in caplog.text
    assert table.labels.tolist() == [[1, 0], [1, 1], [0, 1], [0, 0]]
    assert table.has_masks().tolist() == [True, False, True, True]
    assert table.masks[1] is None
    assert table.masks[0][0].sum() == 3
    assert not table.masks[3].any()
    with pytest.raises(ValueError, match="read-only"):
        table.labels[0, 0] = 0
    kept = table.without({0: "damaged"})
    assert kept.masks.missing == {0: [1]}
    assert kept.has_masks().tolist() == [False, True, True]
    turned = table.reorder_classes(("crack", "pit"))
    assert turned.masks.missing == {1: [0]}
    assert turned.masks[2][0].sum() == 200


def test_pixels_without_a_label_stay_an_error(root):
    write_csv(root / "labels.csv", ["ImageId,pit,crack", f"{FIRST},0,0", *LABELS[1:]])
    with pytest.raises(InputError, match=rf"contradict each other: {FIRST}: pit is in train\.csv"):
        read_label_table(root, image_size=SIZE, missing_masks="ignore")


def test_a_sample_says_that_its_masks_are_not_known(root):
    table = read_label_table(root, image_size=SIZE, missing_masks="ignore")
    dataset = StripDataset(table, range(4), SIZE, masks=MaskRequest(whole=True))
    batch = dataset.__getitems__(range(4))
    assert batch["has_masks"].tolist() == [True, False, True, True]
    assert not batch["masks"][1].any()
    assert dataset.true_masks(1) is None


def test_the_columns_of_labels_csv_name_the_numbered_classes(root):
    for name, names in (("classes.txt", ("hole", "tear")), (None, ("pit", "crack"))):
        if name:
            write_csv(root / name, names)
        table = read_label_table(root, image_size=SIZE, missing_masks="ignore")
        assert table.class_names == names
        (root / "classes.txt").unlink(missing_ok=True)
    assert read_label_table(root, ("a", "b"), SIZE).class_names == ("a", "b")


def test_the_classes_of_severstal_keep_their_numbers_in_any_order_of_columns(tmp_path):
    kaggle_folder(tmp_path, [f"{FIRST},1,1 3"])
    rows = [f"{name},0,0,0,{int(name == FIRST)}" for name in strip_ids(4)]
    write_csv(tmp_path / "labels.csv", ["ImageId,defect_4,defect_3,defect_2,defect_1", *rows])
    table = read_label_table(tmp_path, image_size=SIZE)
    assert table.label_set(0) == ("defect_1",)
    assert table.class_names == ("defect_1", "defect_2", "defect_3", "defect_4")


@pytest.fixture
def small_masks(tmp_path):
    """Pixels that a quarter of the size keeps and loses: the centre of each 4x4 is its (2, 2)."""
    kept, lost = 2 * SIZE[0] + 3, 2 * SIZE[0] + 2
    rows = [f"{FIRST},1,{kept} 1", f"{SECOND},1,{lost} 1", f"{THIRD},2,{kept} 1"]
    return kaggle_folder(tmp_path, rows)


RESIZE = Resize((SIZE[0] // 4, SIZE[1] // 4))


def test_masks_that_a_resize_loses_are_counted_and_some_are_a_warning(small_masks, caplog):
    table = read_label_table(small_masks, image_size=RESIZE)
    assert count_lost_masks(table) == {
        "defect_1": (1, 2), "defect_2": (0, 1), "defect_3": (0, 0), "defect_4": (0, 0),
    }  # fmt: skip
    check_resized_masks(table)
    assert "1 of 2 of defect_1" in caplog.text
    assert "defect_2" not in caplog.text
    assert table.masks[1][0].sum() == 1
    assert count_lost_masks(read_label_table(small_masks, image_size=SIZE)) == {}


def test_a_resize_that_erases_every_mask_of_a_class_is_refused(small_masks):
    write_csv(
        small_masks / "train.csv",
        ["ImageId,ClassId,EncodedPixels", f"{FIRST},1,1 1", f"{SECOND},1,2 1", f"{THIRD},2,67 1"],
    )
    table = read_label_table(small_masks, image_size=RESIZE)
    with pytest.raises(InputError) as caught:
        check_resized_masks(table)
    for words in ("data.resize=[8,16]", "each of the 2 masks of defect_1", "give a larger size"):
        assert words in str(caught.value)


def test_a_validation_warns_of_them(small_masks):
    settings = DataSettings(resize=(32, 32), num_workers=1, group_duplicates=False)
    validation = validate_data(small_masks, settings)
    found = [f for f in validation.findings if f.kind == "masks too small for data.resize"]
    lost = count_lost_masks(validation.table)
    assert [f.message.split(":")[0] for f in found] == [n for n, (k, _) in lost.items() if k]
    assert np.sum([total for _, total in lost.values()]) == 3
