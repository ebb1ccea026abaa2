"""Corrected labels as an overlay: labels and masks of the table, never its files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv

from core.data.annotations import read_label_table
from core.data.corrections import Corrections, corrected, describe_corrections
from core.data.label_agreement import without_masks_of
from core.errors import InputError

FIRST, SECOND, THIRD, FOURTH = strip_ids(4)
ROWS = [f"{FIRST},1,1 3", f"{FIRST},2,9 9", f"{SECOND},1,1 3", f"{THIRD},2,40 20"]
LABELS = {
    (FIRST, "defect_1"): 0, (FIRST, "defect_2"): 1, (THIRD, "defect_2"): 1,
    (FOURTH, "defect_3"): 1, (SECOND, "defect_1"): 0,
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    return read_label_table(kaggle_folder(tmp_path, ROWS), image_size=SIZE)


def decided(table, labels=LABELS, fingerprint: str | None = "") -> Corrections:
    known = table.fingerprint() if fingerprint == "" else fingerprint
    return Corrections(Path("decisions.csv"), known, labels)


def test_labels_are_replaced_and_masks_follow(table, caplog):
    before = {path: path.read_bytes() for path in table.root.rglob("*") if path.is_file()}
    after = corrected(table, decided(table))
    assert after.labels.tolist() == [[0, 1, 0, 0], [0] * 4, [0, 1, 0, 0], [0, 0, 1, 0]]
    assert table.labels[0].tolist() == [1, 1, 0, 0]
    # A cleared class loses its mask; a newly set one has none, so the image's are unknown.
    assert [masks.sum() for masks in after.masks[0]] == [0, 9, 0, 0]
    assert not after.masks[1].any()
    assert after.masks[3] is None
    assert after.has_masks().tolist() == [True, True, True, False]
    assert f"newly set, which has no mask: they are trained on their labels alone: {FOURTH} " in (
        caplog.text
    )
    with pytest.raises(ValueError, match="read-only"):
        after.labels[0, 0] = 1
    assert {path: path.read_bytes() for path in before} == before


def test_counts_for_each_class_and_direction(table):
    record = corrected(table, decided(table)).corrections
    assert record["added"] == {"defect_1": 0, "defect_2": 0, "defect_3": 1, "defect_4": 0}
    assert record["removed"] == {"defect_1": 2, "defect_2": 0, "defect_3": 0, "defect_4": 0}
    assert (record["num_decided"], record["num_without_mask"]) == (5, 1)
    assert record["given_fingerprint"] == table.fingerprint()
    assert describe_corrections(table) == {}


def test_masks_that_were_unknown_stay_so_until_no_label_is_left(table):
    unused = without_masks_of(table, [FIRST, SECOND])
    after = corrected(unused, decided(unused))
    assert after.masks.missing == {0: [1], 3: [2]}
    assert not after.masks[1].any()


def test_without_masks_there_are_labels_only(tmp_path):
    kaggle_folder(tmp_path, [])
    (tmp_path / "train.csv").unlink()
    write_csv(
        tmp_path / "labels.csv", ["ImageId,pit", *(f"{n},0" for n in strip_ids(3)), f"{FOURTH},1"]
    )
    table = read_label_table(tmp_path, image_size=SIZE)
    after = corrected(table, decided(table, {(FIRST, "pit"): 1, (FOURTH, "pit"): 0}))
    assert after.labels[:, 0].tolist() == [1, 0, 0, 0]
    assert after.corrections["num_without_mask"] == 0


def test_the_hash_depends_on_the_decided_labels_alone(table):
    one, turned = decided(table), decided(table, dict(reversed(LABELS.items())))
    assert one.sha256() == replace(turned, file=Path("other")).sha256()
    assert one.sha256() != decided(table, {**LABELS, (FIRST, "defect_2"): 0}).sha256()


@pytest.mark.parametrize(
    ("labels", "fingerprint", "found"),
    [
        (LABELS, "0" * 64, r"fingerprint 000000000000, and .*train\.csv has "),
        ({("x.jpg", "defect_1"): 1}, "", r"no image 'x\.jpg' in "),
        ({(FIRST, "defekt_1"): 1}, "", "no class 'defekt_1' .*did you mean 'defect_1'"),
    ],
)
def test_decisions_about_other_data_are_refused(table, labels, fingerprint, found):
    with pytest.raises(InputError, match=rf"^data\.corrections=decisions\.csv: .*{found}"):
        corrected(table, decided(table, labels, fingerprint))


def test_nothing_decided_changes_nothing(table):
    after = corrected(table, decided(table, {}, None))
    np.testing.assert_array_equal(after.labels, table.labels)
    assert after.fingerprint() == table.fingerprint()
