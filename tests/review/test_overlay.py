"""Decided labels in a training: from the store, and from the table that was exported from it."""

import json
import logging
from pathlib import Path

import pytest
from reviewing import FINGERPRINT, decision

from core.errors import InputError
from core.review.overlay import COLUMNS, read_corrections, write_corrections
from core.review.store import ReviewStore
from core.review.verdicts import current_verdicts


@pytest.fixture
def store(tmp_path) -> ReviewStore:
    store = ReviewStore(tmp_path / "decisions.sqlite", create=True)
    store.append([
        decision("a.jpg", "set"), decision("=b.jpg", "keep", given=True),
        decision("c.jpg", "unsure"), decision("d.jpg", "clear", given=True),
        decision("d.jpg", "keep", given=True, reviewer="Bob"), decision("e.jpg", "set"),
    ])  # fmt: skip
    store.append([decision("f.jpg")])
    store.undo("Ann")
    return store


def test_what_is_decided_is_the_same_from_store_and_table(store, tmp_path):
    found = read_corrections(store.path)
    assert found.labels == {("a.jpg", "pit"): 1, ("=b.jpg", "pit"): 1, ("e.jpg", "pit"): 1}
    assert found.fingerprint == FINGERPRINT
    table = tmp_path / "corrections.csv"
    write_corrections(table, current_verdicts(store.entries()), store.fingerprint())
    again = read_corrections(table)
    assert (again.labels, again.fingerprint) == (found.labels, found.fingerprint)
    assert again.sha256() == found.sha256()


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([f"a.jpg,pit,0,2,{FINGERPRINT}"], "line 2: label '2'; expected 0 or 1"),
        ([f"a.jpg,pit,0,1,{FINGERPRINT}"] * 2, "stand there twice"),
        ([f"a.jpg,pit,0,1,{FINGERPRINT}", "b.jpg,pit,0,1,other"], "expected one and the same"),
        (["a.jpg,pit,0,1,"], "line 2: fingerprint ''"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, rows, found):
    path = tmp_path / "corrections.csv"
    path.write_text("\n".join([",".join(COLUMNS), *rows]))
    with pytest.raises(InputError, match=found):
        read_corrections(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "labels.csv"
    for content in (
        b"ImageId,pit\na.jpg,1\n",
        b"",
        b"\xff\x00" * 50,
        b"SQLite format 3\0" + b"x" * 90,
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"labels\.csv"):
            read_corrections(path)


@pytest.mark.slow
def test_a_training_and_its_evaluation_use_the_decided_labels(
    compose, tiny, completed, tmp_path, caplog
):
    from core.running.loading import read_table
    from core.running.reevaluation import reevaluate

    noise = ["data.label_noise=0.1", "data.label_noise_kind=missing"]
    table = read_table(compose(*tiny, *noise).data)
    store = ReviewStore(tmp_path / "decisions.sqlite", create=True)
    lost = [(table.image_ids[row], table.class_names[column]) for row, column, _ in table.flips]
    about = {"fingerprint": table.fingerprint(), "given": False}
    store.append([decision(name, "set", class_name=label, **about) for name, label in lost])
    path = completed(*tiny, *noise, f"data.corrections={store.path}")
    data = json.loads((path / "results.json").read_text())["data"]
    clean = read_table(compose(*tiny).data)
    assert data["fingerprint"] == clean.fingerprint()
    record = data["corrections"]
    assert record["given_fingerprint"] == table.fingerprint()
    assert record["sha256"] == read_corrections(store.path).sha256()
    assert sum(record["added"].values()) == len(lost) == 6
    listed = (path / "flipped_labels.csv").read_text().splitlines()[1:]
    assert [line.split(",")[2:] for line in listed] == [["1", "0"]] * 6
    with caplog.at_level(logging.WARNING):
        again = json.loads((Path(reevaluate(path)) / "results.json").read_text())
    assert "changed since training" not in caplog.text
    assert again["data"]["corrections"] == record
    store.append([decision(clean.image_ids[0], "keep", class_name="defect_1", **about)])
    with pytest.raises(InputError, match=r"data\.corrections=.*expected the same images and given"):
        read_table(compose(*tiny, f"data.corrections={store.path}").data)
