"""`code/corrections.py`: what it exports is read back by training as the decided labels."""

import hashlib
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from reviewing import decision, run_corrections

from core.data.annotations import read_label_table
from core.data.corrections import corrected
from core.data.label_table import LabelTable
from core.review.overlay import read_corrections
from core.review.store import ReviewStore

SIZE = (32, 64)
NAMES = [f"{number}.jpg" for number in range(4)]


@pytest.fixture
def root(tmp_path) -> Path:
    """Four strips with masks; the last one is clean."""
    folder = tmp_path / "strips" / "train_images"
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image = np.random.default_rng(number).integers(0, 256, SIZE, np.uint8)
        cv2.imwrite(str(folder / name), image)
    rows = ["0.jpg,1,1 3 40 2", "0.jpg,2,9 9", "1.jpg,1,1 3", "2.jpg,4,40 20"]
    (folder.parent / "train.csv").write_text("\n".join(["ImageId,ClassId,EncodedPixels", *rows]))
    return folder.parent


@pytest.fixture
def given(root) -> LabelTable:
    return read_label_table(root, image_size=SIZE)


@pytest.fixture
def store(root, given) -> ReviewStore:
    """Two labels are cleared, one is set, one kept, and on one two reviewers differ."""
    store = ReviewStore(root.parent / "decisions.sqlite", create=True)
    about = {"fingerprint": given.fingerprint(), "blind": True, "sample": "random"}
    shown, absent = {**about, "given": True}, {**about, "given": False}
    store.append([
        decision("0.jpg", "clear", class_name="defect_2", **shown),
        decision("1.jpg", "clear", class_name="defect_1", **shown),
        decision("3.jpg", "set", class_name="defect_3", **absent),
        decision("0.jpg", "keep", class_name="defect_1", **shown),
        decision("2.jpg", "clear", class_name="defect_4", **shown),
        decision("2.jpg", "keep", class_name="defect_4", reviewer="Bob", **shown),
    ])  # fmt: skip
    return store


@pytest.fixture
def run(monkeypatch, capsys):
    return partial(run_corrections, monkeypatch, capsys)


def hashes(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("layout", ["labels", "train"])
def test_the_export_is_read_back_as_the_decided_labels(root, given, store, run, tmp_path, layout):
    before = hashes(root)
    expected = corrected(given, read_corrections(store.path))
    folder = tmp_path / "corrected"
    code, printed = run("export", store.path, root, "--output", folder / f"{layout}.csv")
    assert code == 0, printed
    assert hashes(root) == before
    shutil.copytree(root / "train_images", folder / "train_images")
    again = read_label_table(folder, image_size=SIZE, missing_masks="ignore")
    assert again.labels.tolist() == expected.labels.tolist() != given.labels.tolist()
    if layout == "labels":
        assert again.masks is None
        return
    assert "1 labels have no mask" in printed
    assert again.class_names == given.class_names
    for row in range(4):
        np.testing.assert_equal(again.masks[row], expected.masks[row])
    assert again.masks[3] is None
    assert again.masks[0][0].sum() == 5


@pytest.mark.parametrize("name", ["labels.csv", "classes.txt"])
def test_a_file_is_not_written_where_one_beside_it_is(root, store, run, tmp_path, name):
    file = tmp_path / "corrected" / name
    code, printed = run("export", store.path, root, "--output", file, "--layout", "train")
    assert code == 2
    assert f"--output {file}: --layout train writes another {name} beside" in printed
    assert not file.parent.exists()


def test_the_decided_labels_alone_are_an_overlay(root, given, store, run, tmp_path):
    file = tmp_path / "corrections.csv"
    code, printed = run("export", store.path, root, "--output", file, "--layout", "corrections")
    assert code == 0, printed
    assert f"data.corrections={file}" in printed
    assert read_corrections(file).sha256() == read_corrections(store.path).sha256()


def test_originals_and_other_files_are_never_written(root, store, run, tmp_path):
    before, other = hashes(tmp_path), tmp_path / "labels.csv"
    for output in (root / "labels.csv", root / "train.csv", root / "new" / "labels.csv"):
        code, printed = run("export", store.path, root, "--output", output)
        *_, last = printed.splitlines()
        assert (code, printed.count("error: ")) == (2, 1), printed
        assert last.startswith("error: --output")
        assert last.endswith("give a file in another folder")
    other.write_text("mine")
    (tmp_path / "classes.txt").write_text("mine")
    assert run("export", store.path, root, "--output", other)[0] == 2
    assert run("export", store.path, root, "--output", tmp_path / "train.csv")[0] == 2
    after = hashes(tmp_path)
    assert {path: after[path] for path in before} == before
    assert after.keys() - before.keys() == {other, tmp_path / "classes.txt"}


def test_decisions_about_other_data_are_not_exported(root, store, run, tmp_path):
    (root / "train_images" / "0.jpg").unlink()
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n1.jpg,1,1 3\n")
    code, printed = run("export", store.path, root, "--output", tmp_path / "labels.csv")
    assert code == 2
    assert "expected the same images and given labels" in printed


def test_the_list_says_what_became_of_labels_and_how_reviewers_agree(store, run):
    code, printed = run("list", store.path)
    assert code == 0, printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line}
    assert rows["defect_1"][1:6] == ["2", "0", "1", "0", "0"]
    assert rows["defect_3"][1:6] == ["1", "1", "0", "0", "0"]
    assert rows["defect_4"][1:8] == ["1", "0", "0", "0", "1", "0.00", "1"]
    assert "50.0 % [1.3, 98.7]" in printed
    assert "Conflict: 2.jpg, defect_4 (Ann: clear, Bob: keep)" in printed
    assert "defect_4: kappa is below 0.6" in printed
    assert "6 decisions on 4 strips, 0 taken back" in printed


def test_an_empty_or_absent_store_is_said_in_a_line(run, tmp_path):
    store = ReviewStore(tmp_path / "decisions.sqlite", create=True)
    code, printed = run("list", store.path)
    assert code == 0
    assert "0 decisions" in printed
    code, printed = run("list", tmp_path / "absent")
    assert (code, printed.count("\n")) == (2, 1)
