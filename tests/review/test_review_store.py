"""The log of decisions: nothing acknowledged is lost, nothing changes, undo is a further entry."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from conftest import REPOSITORY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reviewing import FINGERPRINT, decision

from core.errors import InputError
from core.review.decisions import Decision, checked_decision
from core.review.store import ReviewStore

WRITER = """
import sys
sys.path.insert(0, "code")
from core.review.decisions import Decision
from core.review.store import ReviewStore
file, reviewer, count = sys.argv[1:]
store = ReviewStore(file, create=True)
for number in range(int(count)):
    (entry,) = store.append([Decision(reviewer=reviewer, image_id=f"{number}.jpg",
        class_name="pit", given=False, decided="set", fingerprint="ab" * 32)])
    print(entry, flush=True)
"""


def writer(path, reviewer: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), reviewer, str(count)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path) -> ReviewStore:
    return ReviewStore(tmp_path / "decisions.sqlite", create=True)


def test_what_is_written_is_read_by_another_process_in_its_order(store):
    written = [
        decision("a.jpg", "set", probability=0.75, seconds=1.5, reason="a pit, left", blind=True),
        decision("b.jpg", "unsure", model="run_1", sample="random"),
    ]
    assert store.append(written) == [1, 2]
    again = ReviewStore(store.path).entries()
    fields = set(Decision.model_fields)
    assert [Decision(**entry.model_dump(include=fields)) for entry in again] == written
    assert [entry.number for entry in again] == [1, 2]
    assert again[0].at.endswith("+00:00")
    assert store.fingerprint() == FINGERPRINT


def test_what_a_reviewer_decides_again_is_not_blind(store):
    first = [decision("a.jpg", blind=True), decision("a.jpg", class_name="crack", blind=True)]
    assert store.append(first, "click 1") == store.append(first, "click 1") == [1, 2]
    assert store.append([decision("a.jpg", "keep", blind=True)], "click 2") == [3]
    assert store.append([decision("a.jpg", "keep", blind=True)], "click 2") == [3]
    assert store.append([decision("a.jpg", reviewer="Bob", blind=True)]) == [4]
    store.undo("Bob")
    store.append([decision("a.jpg", reviewer="Bob", blind=True)])
    assert [entry.blind for entry in store.entries()] == [True, True, False, False]


def test_decisions_are_written_all_or_none(store):
    other = decision("b.jpg", fingerprint="cd" * 32)
    with pytest.raises(InputError, match=r"abababababab.*cdcdcdcdcdcd.*another file"):
        store.append([decision(), other])
    assert store.entries() == []
    store.append([decision()])
    with pytest.raises(InputError, match="another file for each data set"):
        store.append([other])


def test_a_call_that_is_sent_twice_is_written_once(store):
    sent = [decision("a.jpg"), decision("a.jpg", class_name="crack")]
    assert store.append(sent, "click 7") == store.append(sent, "click 7") == [1, 2]
    assert len(store.entries()) == 2
    for other in ([decision("b.jpg")], sent[:1]):
        with pytest.raises(InputError, match="'click 7': was sent before with other decisions"):
            store.append(other, "click 7")


def test_undo_goes_back_one_by_one_through_ones_own_decisions(store):
    def undone() -> list[str]:
        return [entry.image_id for entry in store.undo("Ann")]

    store.append([decision("a.jpg")])
    store.append([decision("b.jpg")])
    store.append([decision("c.jpg", reviewer="Bob")])
    assert undone() == ["b.jpg"]
    # After a new start as well.
    store = ReviewStore(store.path)
    store.append([decision("d.jpg")])
    assert [undone(), undone(), undone()] == [["d.jpg"], ["a.jpg"], []]
    assert [entry.image_id for entry in store.entries()] == ["c.jpg"]
    assert store.num_undone() == 3
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT count(*) FROM decisions").fetchone() == (7,)


def test_an_undo_that_is_sent_twice_takes_back_one_call(store):
    store.append([decision("a.jpg")])
    store.append([decision("b.jpg"), decision("c.jpg")])
    last = store.last("Ann")
    assert [entry.image_id for entry in last] == ["b.jpg", "c.jpg"]
    assert store.undo("Ann", last[0].number) == last
    assert store.undo("Ann", last[0].number) == []
    assert [entry.image_id for entry in store.last("Ann")] == ["a.jpg"]
    assert store.last("Bob") == []


@pytest.mark.parametrize(
    "change", ["UPDATE decisions SET decided = 'keep'", "DELETE FROM decisions"]
)
def test_no_entry_is_ever_changed(store, change):
    store.append([decision()])
    with (
        closing(sqlite3.connect(store.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="decisions are never"),
    ):
        connection.execute(change)


def test_what_was_acknowledged_survives_a_kill(store):
    process = writer(store.path, "Ann", 10_000)
    acknowledged = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += map(int, process.stdout.read().split())
    process.wait()
    process.stdout.close()
    numbers = [entry.number for entry in ReviewStore(store.path, create=True).entries()]
    assert numbers[: len(acknowledged)] == acknowledged
    assert len(numbers) <= len(acknowledged) + 1


def test_two_processes_and_four_threads_write_at_once(store):
    processes = [writer(store.path, name, 25) for name in ("Ann", "Bob")]
    with ThreadPoolExecutor(4) as threads:
        calls = [decision(f"{n}.jpg", reviewer="Eve") for n in range(20)]
        own = list(threads.map(lambda call: store.append([call])[0], calls))
    theirs = [int(line) for process in processes for line in process.communicate()[0].split()]
    entries = store.entries()
    assert sorted(own + theirs) == [entry.number for entry in entries] == list(range(1, 71))
    assert {entry.image_id for entry in entries if entry.reviewer == "Bob"} == {
        f"{number}.jpg" for number in range(25)
    }


@pytest.mark.parametrize("place", [0, 30, 100, 4096, 8192, "cut"])
def test_a_damaged_file_is_refused_in_one_line(store, place):
    """At the head of the file, of a page, and at its end."""
    store.append([decision(f"{number}.jpg", reason="x" * 500) for number in range(30)])
    content = bytearray(store.path.read_bytes())
    if place == "cut":
        del content[-5000:]
    else:
        content[place : place + 60] = b"\xff" * 60
    store.path.write_bytes(content)
    with pytest.raises(InputError, match=r"decisions\.sqlite: ") as caught:
        ReviewStore(store.path)
    assert "\n" not in str(caught.value)


def test_an_entry_that_no_store_writes_is_refused(store):
    row = decision().model_dump(exclude={"probability", "seconds"})
    row |= {"reviewer": "", "number": 1, "call": 1, "at": "now"}
    columns, places = ", ".join(row), ", ".join("?" * len(row))
    with closing(sqlite3.connect(store.path)) as connection, connection:
        sql = f"INSERT INTO decisions ({columns}) VALUES ({places})"
        connection.execute(sql, list(row.values()))
    with pytest.raises(InputError, match="damaged, decision 1: reviewer"):
        store.entries()


def test_other_files_are_refused(tmp_path, store):
    absent, folder, text = tmp_path / "absent", tmp_path / "folder", tmp_path / "labels.csv"
    folder.mkdir()
    text.write_text("ImageId,pit\n" * 100)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE decisions (number)")
    for path in (absent, folder, text, other):
        with pytest.raises(InputError, match=path.name):
            ReviewStore(path)
    assert not absent.exists()
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("CREATE TRIGGER more AFTER INSERT ON decisions BEGIN SELECT 1; END")
    with pytest.raises(InputError, match="other tables than those of a store"):
        ReviewStore(store.path)
    with pytest.raises(InputError, match="give a folder that exists"):
        ReviewStore(tmp_path / "none" / "decisions.sqlite", create=True)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"decided": "delete"}, "decided"), ({"reviewer": ""}, "reviewer"),
        ({"reviewer": "a\nb"}, "reviewer"), ({"image_id": "\udcff.jpg"}, "image_id"),
        ({"probability": 1.5}, "probability"), ({"seconds": float("nan")}, "seconds"),
        ({"fingerprint": "x"}, "fingerprint"), ({"reviwer": "Ann"}, "did you mean 'reviewer'"),
    ],
)  # fmt: skip
def test_a_wrong_decision_is_refused_in_one_line(values, named):
    with pytest.raises(InputError, match=named) as caught:
        checked_decision({**decision().model_dump(), **values})
    assert "\n" not in str(caught.value)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(min_size=1, max_size=60), st.text(max_size=60),
    st.one_of(st.none(), st.floats(0, 1)), st.sampled_from(["keep", "set", "clear", "unsure"]),
)  # fmt: skip
def test_any_text_is_kept_as_it_is(tmp_path, name, reason, probability, decided):
    path = tmp_path / "decisions.sqlite"
    path.unlink(missing_ok=True)
    values = {"class_name": name, "reason": reason, "probability": probability}
    written = decision(name, decided, **values)
    store = ReviewStore(path, create=True)
    store.append([written], request=name)
    (entry,) = store.entries()
    assert Decision(**entry.model_dump(include=set(Decision.model_fields))) == written
