"""The addresses of a review: lists, decisions, undo, several reviewers, and a server that dies."""

import csv
import hashlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results
from reviewable import Reviewer, read_table, write_reviewable
from running_workbench import running

from core.analysis.label_errors import rank_label_errors
from core.data.corrections import corrected
from core.review.exporting import export
from core.review.overlay import read_corrections
from core.review.store import ReviewStore
from core.review.summary import summary
from core.review.verdicts import current_verdicts
from core.workbench.review_lists import read_review_list
from core.workbench.strip_sources import strip_key


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an experiment and its data; each test has a store of its own."""
    folder = tmp_path_factory.mktemp("review")
    write_reviewable(folder)
    return folder


@pytest.fixture
def served(made, tmp_path):
    with running(made / "results", decisions=tmp_path / "decisions.sqlite") as workbench:
        yield workbench


@pytest.fixture
def store(served, tmp_path):
    return ReviewStore(tmp_path / "decisions.sqlite", create=True)


def listed(served, **how):
    query = urllib.parse.urlencode({"key": served.key("reviewable"), **how})
    return served.ask(f"/api/review/list?{query}").json()


def entries_of(store):
    return [(e.image_id, e.class_name, e.reviewer, e.decided) for e in store.entries()]


def test_a_list_is_that_of_label_errors_csv_with_the_random_sample_between(made):
    path = made / "results" / "reviewable"
    found = read_review_list(path, "suspects")
    rows = list(csv.DictReader((path / "predictions.csv").open()))
    labels = np.array([[int(row[f"label_{n}"]) for n in CLASS_NAMES] for row in rows])
    probabilities = np.array(
        [[float(row[f"probability_{n}"]) for n in CLASS_NAMES] for row in rows]
    )
    names = [row["image_id"] for row in rows]
    wanted = rank_label_errors(names, labels, probabilities, CLASS_NAMES)
    ranked = [each.image_id for each in found.order if each.sample == "ranked"]
    assert ranked == [s.image_id for s in wanted if s.image_id in set(ranked)]
    assert len(found.order) == len(names) == 240
    for suspect in wanted[:20]:
        strip = found.strips[strip_key(suspect.image_id)]
        assert CLASS_NAMES[strip.column] == suspect.class_name
        assert strip.labels[strip.column] == suspect.labelled
    drawn = [each for each in found.order if each.sample == "random"]
    sample_first = read_review_list(path, "sample").order
    assert list(sample_first[: len(drawn)]) == drawn
    assert [each.image_id for each in sample_first[len(drawn) :]] == ranked
    unsure = read_review_list(path, "unsure", "defect_3")
    first = [strip_key(e.image_id) for e in unsure.order if e.sample == "ranked"]
    assert all(unsure.strips[key].column == 2 for key in first)
    distance = [abs(unsure.strips[key].probabilities[2] - 0.5) for key in first]
    assert np.mean(distance[:20]) < 0.2 < 0.35 < np.mean(distance[-20:])


def test_blind_strips_are_sent_without_labels_until_they_are_decided(served):
    ann = Reviewer(served)
    strips, seen = ann.next(8)["strips"], {}
    while len(seen) < 2:
        strip = strips[0]
        if strip["blind"] not in seen:
            seen[strip["blind"]] = strip
        answer = ann.decide(strip, [0, 0, 1, 0], count=8).json()
        last, strips = answer["last"], answer["strips"]
        assert last["key"] == strip["key"]
        assert last["answers"] == [0, 0, 1, 0]
        assert len(last["given"]) == len(last["probabilities"]) == 4
    assert set(seen[True]) == {"key", "name", "blind"}
    assert set(seen[False]) == {
        "key", "name", "blind", "given", "probabilities", "column", "suggested"
    }  # fmt: skip


def test_a_blind_strip_that_was_decided_is_not_blind_again(served, store):
    ann = Reviewer(served)
    strips = ann.next()["strips"]
    while not strips[0]["blind"]:
        strips = ann.decide(strips[0], strips[0]["given"]).json()["strips"]
    answer = ann.decide(strips[0], [0, 0, 0, 0]).json()
    assert store.last("Ann")[0].blind
    again = ann.undo(answer["last"]["number"])["strips"][0]
    assert (again["key"], again["blind"]) == (strips[0]["key"], False)
    assert len(again["given"]) == 4


def test_a_decision_holds_who_decided_what_and_what_was_known(served, store, made):
    ann = Reviewer(served)
    strips = ann.next()["strips"]
    while strips[0]["blind"]:
        strips = ann.decide(strips[0], [None] * 4).json()["strips"]
    strip = strips[0]
    answers = [1 - strip["given"][0], strip["given"][1], None, strip["given"][3]]
    ann.decide(strip, answers, reason="a scratch")
    found = store.last("Ann")
    assert [e.class_name for e in found] == CLASS_NAMES
    assert [e.decided for e in found][1:] == ["keep", "unsure", "keep"]
    assert found[0].decided == ("clear" if strip["given"][0] else "set")
    assert [e.probability for e in found] == strip["probabilities"]
    fingerprint = read_table(made / "strips").fingerprint()
    assert {(e.fingerprint, e.model, e.seconds, e.reason) for e in found} == {
        (fingerprint, "reviewable", 1.5, "a scratch")
    }


def test_a_decision_that_is_sent_twice_is_written_once(served, store):
    ann = Reviewer(served)
    strip = ann.next()["strips"][0]
    once = {"request": "the-same-request-1"}
    numbers = [ann.decide(strip, [1, 0, 0, 0], **once).json()["last"]["number"] for _ in range(2)]
    assert numbers[0] == numbers[1]
    assert len(store.entries()) == 4
    other = ann.decide(strip, [0, 0, 0, 0], **once)
    assert other.status == 422
    assert "was sent before with other decisions" in other.json()["detail"]


def test_undo_has_no_end_and_works_for_another_page(served, store):
    ann = Reviewer(served)
    strips = ann.next()["strips"]
    order = []
    for _ in range(6):
        order.append(strips[0]["key"])
        strips = ann.decide(strips[0], [0, 0, 0, 1]).json()["strips"]
    reloaded = Reviewer(served)
    last = reloaded.next()["last"]
    for key in reversed(order):
        assert last["key"] == key
        answer = reloaded.undo(last["number"])
        assert answer["strips"][0]["key"] == key
        assert reloaded.undo(last["number"])["undone"] is None  # sent twice
        last = answer["last"]
    assert last is None
    assert store.entries() == []
    assert store.num_undone() == 24


@pytest.mark.slow
def test_two_reviewers_at_once_never_overwrite_each_other(served, store):
    def review(name):
        person, acknowledged = Reviewer(served, name), []
        strips = person.next()["strips"]
        for number in range(40):
            answers = [number % 2, 0, 0, int(name == "Ann")]
            answer = person.decide(strips[0], answers).json()
            acknowledged += [
                (answer["last"]["name"], label, name, wanted)
                for label, wanted in zip(CLASS_NAMES, answers, strict=True)
            ]
            strips = answer["strips"]
        return acknowledged

    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(review, ("Ann", "Bob")))
        acknowledged = [*both[0], *both[1]]
    written = [(e.image_id, e.class_name, e.reviewer, e.label) for e in store.entries()]
    assert sorted(written) == sorted(acknowledged)
    by_strip = {}
    for entry in store.entries():
        by_strip.setdefault(entry.image_id, set()).add(entry.reviewer)
    shared = [name for name, reviewers in by_strip.items() if len(reviewers) == 2]
    assert len(by_strip) == 80 - len(shared)
    assert {e.blind for e in store.entries() if e.image_id in shared} == {True}


def review_all(reviewer, answers, **how):
    """Decide on each strip that the reviewer is shown; returns them."""
    shown = []
    while strips := reviewer.next(8, **how)["strips"]:
        shown += strips
        for strip in strips:
            reviewer.decide(strip, answers(strip), count=0, **how)
    return shown


@pytest.mark.slow
def test_conflicts_and_unsure_strips_are_settled_by_one_reviewer_more(tmp_path):
    path, decisions = write_reviewable(tmp_path, images=60), tmp_path / "decisions.sqlite"
    is_open = {"order": "open"}
    with running(path.parent, decisions=decisions) as served:
        ann, bob, cat = (Reviewer(served, name) for name in ("Ann", "Bob", "Cat"))
        assert ann.next(**is_open)["strips"] == []
        doubtful = ann.next()["strips"][0]["key"]
        review_all(ann, lambda strip: [1, 0, 0, None] if strip["key"] == doubtful else [0] * 4)
        conflicts = {strip["key"] for strip in review_all(bob, lambda _: [1, 1, 1, 1])}
        assert len(conflicts) > 1
        assert doubtful not in conflicts
        assert cat.next()["strips"] == []
        # Who was unsure may say more; who has decided waits for somebody else.
        (again,) = ann.next(**is_open)["strips"]
        assert (again["key"], again["blind"]) == (doubtful, False)
        assert again["answers"] == [1, 0, 0, None]
        last = ann.decide(again, again["answers"], **is_open).json()
        assert [strip["key"] for strip in last["strips"]] == [doubtful]
        ann.decide(again, [0, 0, 0, 0], **is_open)
        assert ann.next(**is_open)["strips"] == []
        # What the others decided is told by the command, and not by the page.
        progress = served.ask(f"/api/review/progress?key={cat.about['key']}").json()
        assert "Ann: keep, Bob: set" not in str(progress)
        assert "Ann: keep, Bob: set" in summary(ReviewStore(decisions))
        # Of strips for two, nothing is told to the third reviewer either.
        shown = review_all(cat, lambda _: [1, 1, 0, 0], **is_open)
        assert {strip["key"] for strip in shown} == conflicts
        assert all(set(strip) == {"key", "name", "blind"} for strip in shown if strip["blind"])
        assert not any(served_to.next(**is_open)["strips"] for served_to in (ann, bob, cat))
        last = cat.next(**is_open)["last"]
        again = cat.undo(last["number"])["strips"][0]
        assert again["key"] == last["key"]
        cat.decide(again, [1, 1, 0, 0], **is_open)
    store = ReviewStore(decisions)
    verdicts = [v for v in current_verdicts(store.entries()) if len(v.decisions) == 3]
    assert {strip_key(v.image_id) for v in verdicts} == conflicts
    assert {v.state for v in verdicts} == {"decided"}
    assert all(v.label == (v.class_name in CLASS_NAMES[:2]) for v in verdicts)
    # Chosen for what the others decided, they are not among the pairs of which kappa is made.
    assert not any(v.decisions["Cat"].blind for v in verdicts)


def test_a_strip_is_reviewed_again_on_demand_with_what_was_decided(served, store):
    ann, bob = Reviewer(served), Reviewer(served, "Bob")
    strip, *others = ann.next()["strips"]
    answers = [1, None, 0, 1]
    ann.decide(strip, answers)
    for reviewer, before in ((ann, answers), (bob, None)):
        again, *_ = reviewer.next(again=strip["key"])["strips"]
        assert (again["key"], again["blind"], again.get("answers")) == (strip["key"], False, before)
        assert len(again["given"]) == 4
    assert ann.next()["strips"][0]["key"] == others[0]["key"]
    assert ann.decide(again, [0, 0, 0, 0]).status == 200
    assert [e.label for e in store.last("Ann")] == [0, 0, 0, 0]
    assert ann.decide(others[0], [0, 0, 0, 0], again="x").status == 422
    assert {strip_key(e.image_id) for e in store.entries()} == {strip["key"]}


def test_the_export_is_what_was_decided_and_the_originals_stay(served, store, made, tmp_path):
    def digests():
        files = sorted(path for path in (made / "strips").rglob("*") if path.is_file())
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    before, given = digests(), read_table(made / "strips")
    ann, wanted, generator = Reviewer(served), {}, np.random.default_rng(1)
    strips = ann.next()["strips"]
    for _ in range(30):
        answers = [[0, 1, None][place] for place in generator.integers(3, size=4)]
        wanted[strips[0]["name"]] = answers
        strips = ann.decide(strips[0], answers).json()["strips"]
    labels = given.labels.copy()
    for row, name in enumerate(given.image_ids):
        for column, answer in enumerate(wanted.get(name, [None] * 4)):
            labels[row, column] = labels[row, column] if answer is None else answer
    assert (labels != given.labels).any()
    export(store, made / "strips", tmp_path / "labels.csv")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "images").symlink_to(made / "strips" / "images")
    (copy / "labels.csv").write_bytes((tmp_path / "labels.csv").read_bytes())
    assert (read_table(copy).labels == labels).all()
    assert (corrected(given, read_corrections(store.path)).labels == labels).all()
    assert digests() == before


def test_progress_is_that_of_the_command(served, store, monkeypatch):
    monkeypatch.setattr("core.workbench.rested._REST", 0)
    key = served.key("reviewable")
    ask = lambda: served.ask(f"/api/review/progress?key={key}").json()  # noqa: E731
    assert ask()["strips"] == 0
    ann = Reviewer(served)
    ann.decide(ann.next()["strips"][0], [1, 1, 1, 1])
    found = ask()
    assert found["strips"] == 1
    assert found["rows"][0][:3] == ["class", "labels", "added"]
    assert [row[0] for row in found["rows"][1:]] == CLASS_NAMES
    assert any("By reviewer: Ann 4" in note for note in found["notes"])


def test_progress_is_not_computed_all_the_time(served, store, monkeypatch):
    monkeypatch.setattr("core.workbench.rested._REST", 1e6)
    key, ann = served.key("reviewable"), Reviewer(served)
    asked = [served.ask(f"/api/review/progress?key={key}").json()["strips"]]
    ann.decide(ann.next()["strips"][0], [1, 1, 1, 1])
    asked.append(served.ask(f"/api/review/progress?key={key}").json()["strips"])
    assert asked == [0, 0]


def test_decisions_are_kept_beside_the_results_by_default(made):
    with running(made / "results") as served:
        path = Path(listed(served)["command"].split()[-1])
        assert not path.exists()  # to look changes nothing
        ann = Reviewer(served)
        ann.decide(ann.next()["strips"][0], [0, 0, 0, 0])
        assert len(ReviewStore(path).entries()) == 4
        assert path.parent == made / "results" / "reviews"
        assert re.fullmatch(r"[0-9a-f]{16}\.sqlite", path.name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fingerprint": "../../../x"}, "expected 64 hexadecimal digits"),
        ({"corrections": {"file": "x", "sha256": "0" * 64, "given_fingerprint": "1" * 64,
                          "num_decided": 0, "num_without_mask": 0, "added": {}, "removed": {}}},
         "was trained with data.corrections"),
    ],
)  # fmt: skip
def test_what_cannot_be_reviewed_says_why(tmp_path, change, problem):
    path = write_reviewable(tmp_path, images=12)
    results = read_results(path)
    results["data"] |= change
    write_results(path, results)
    with running(path.parent) as served:
        assert problem in listed(served)["problem"]
        answer = served.post("/api/review/next", key=served.key("reviewable"), reviewer="Ann")
        assert answer.status == 422
        assert problem in answer.json()["detail"]
        assert not (path.parent / "reviews").exists()


def test_a_store_of_another_data_set_is_refused_before_a_strip_is_shown(served, tmp_path):
    ann = Reviewer(served)
    ann.decide(ann.next()["strips"][0], [0, 0, 0, 0])
    other = write_reviewable(tmp_path, images=12, data_seed=5)
    with running(other.parent, decisions=tmp_path / "decisions.sqlite") as workbench:
        answer = workbench.post("/api/review/next", **Reviewer(workbench).about)
        assert answer.status == 422
        assert "start with another --decisions FILE" in answer.json()["detail"]


def test_a_data_set_is_not_reviewed_under_two_sets_of_class_names(served, store, made):
    results = made / "results"
    names = ("pit", "crack", "scratch", "patch")
    other = write_experiment(results, name="other_names", class_names=names)
    data = read_results(results / "reviewable")["data"]
    content = read_results(other)
    content["data"] |= {name: data[name] for name in ("fingerprint", "root")}
    write_results(other, content)
    try:
        served.index.update()
        two = Reviewer(served, "Yan", experiment="other_names")
        strip = two.next()["strips"][0]  # nothing is decided yet
        one = Reviewer(served, "Zoe")
        assert one.decide(one.next()["strips"][0], [1, 0, 0, 0]).status == 200
        refused = two.decide(strip, [0, 1, 0, 0])
        problem = served.ask(f"/api/review/list?key={served.key('other_names')}").json()["problem"]
    finally:
        shutil.rmtree(other)
    assert refused.status == 422
    assert "about the classes defect_1, defect_2, defect_3, defect_4 of this data set" in problem
    assert store.class_names() == set(CLASS_NAMES)
    assert one.next()["last"]["answers"] == [1, 0, 0, 0]


def test_another_class_or_a_lost_table_says_why(served, tmp_path):
    assert "did you mean 'defect_3'" in listed(served, only="defect_33")["problem"]
    path = write_reviewable(tmp_path, images=12)
    (path / "predictions.csv").unlink()
    with running(path.parent) as other:
        assert "predictions.csv" in listed(other)["problem"]


WRONG = [
    {"reviewer": ""}, {"reviewer": "a\nb"}, {"reviewer": "\ud800"}, {"reviewer": "x" * 81},
    {"reviewer": None}, {"key": "../../etc"}, {"key": 5, "order": "x"}, {"order": "../x"},
    {"only": "defect_9"}, {"only": "\udcff"}, {"count": -1}, {"count": 10_000}, {"count": "all"},
    {"strip": "../../secret.txt"}, {"strip": "' OR 1=1 --"}, {"strip": "\ud800"},
    {"answers": [1]}, {"answers": [2, 0, 0, 0]}, {"answers": {"defect_1": 1}}, {"answers": "1000"},
    {"request": "short"}, {"request": "../../../../../../x"}, {"request": "x" * 65},
    {"seconds": -1}, {"seconds": "1e999"}, {"reason": "\ud800"}, {"reason": "x" * 2001},
    {"fingerprint": "0" * 64}, {"image_id": "x.jpg"}, {"blind": "perhaps"},
]  # fmt: skip


@pytest.fixture(scope="module")
def reviewed(made, tmp_path_factory):
    """A server whose store stays empty."""
    file = tmp_path_factory.mktemp("untouched") / "decisions.sqlite"
    with running(made / "results", decisions=file) as workbench:
        yield workbench, ReviewStore(file, create=True)


@pytest.mark.parametrize("change", WRONG)
def test_a_wrong_value_is_refused_in_one_line_and_writes_nothing(reviewed, change):
    served, store = reviewed
    ann = Reviewer(served)
    strip = ann.next()["strips"][0]
    answer = ann.decide(strip, [0, 0, 0, 0], **change)
    assert answer.status in (404, 422)
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert "\n" not in detail
    assert store.entries() == []


@pytest.mark.parametrize("body", [b"[", b"[]", b"5", b'"x"', b"null", b'{"a":' * 9000, b"\xff"])
def test_other_bodies_are_refused(reviewed, body):
    served, _ = reviewed
    for name in ("next", "decide", "undo"):
        answer = served.ask(
            f"/api/review/{name}", "POST", body,
            Content_Type="application/json", Origin=f"http://{served.host}",
        )  # fmt: skip
        assert answer.status in (400, 422)


def test_a_store_that_is_lost_is_one_line(served, tmp_path):
    ann = Reviewer(served)
    strip = ann.next()["strips"][0]
    (tmp_path / "decisions.sqlite").unlink()
    answer = ann.decide(strip, [0, 0, 0, 0])
    assert answer.status == 503
    assert "cannot be used as a store of decisions" in answer.json()["detail"]
    assert not (tmp_path / "decisions.sqlite").exists()


def test_what_a_locked_store_did_not_take_can_be_sent_again(served, store, monkeypatch):
    ann = Reviewer(served)
    strip, once = ann.next()["strips"][0], {"request": "the-same-request-1"}
    monkeypatch.setattr("core.review.database._WAIT_SECONDS", 0)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = ann.decide(strip, [0, 0, 0, 0], **once)
    assert answer.status == 503
    assert "database is locked" in answer.json()["detail"]
    again = ann.decide(strip, [0, 0, 0, 0], count=0, **once)
    assert (again.status, again.json()["strips"]) == (200, [])
    assert len(store.entries()) == 4


@pytest.mark.slow
def test_a_killed_server_has_lost_no_decision_that_it_acknowledged(made, tmp_path):
    decisions = tmp_path / "decisions.sqlite"
    server = subprocess.Popen(
        [sys.executable, "code/workbench.py", "--port", "0", "--results-dir",
         str(made / "results"), "--decisions", str(decisions)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    acknowledged = []
    try:
        address = re.search(r"(http://[\d.:]+)(/login\S+)", server.stdout.readline())
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

        def ask(path, **content):
            asked = urllib.request.Request(f"{address[1]}{path}", headers={"Origin": address[1]})
            if content:
                asked.data = json.dumps(content).encode()
                asked.add_header("Content-Type", "application/json")
            return json.load(browser.open(asked, timeout=60))

        browser.open(address[0], timeout=60).read()
        while not (rows := ask("/api/experiments")["experiments"]):
            pass
        about = {"key": rows[0]["key"], "reviewer": "Ann"}
        strips = ask("/api/review/next", **about)["strips"]
        for number in range(1000):
            decided = {"request": f"a-request-{number:09d}", "strip": strips[0]["key"]}
            decided |= {"blind": strips[0]["blind"], "answers": [0, 0, 0, number % 2]}
            if number == 25:
                ThreadPoolExecutor(1).submit(server.send_signal, signal.SIGKILL)
            answer = ask("/api/review/decide", **about, **decided)
            acknowledged.append(answer["last"]["name"])
            strips = answer["strips"]
    except OSError:
        pass  # it was killed
    finally:
        server.kill()
        server.communicate()
    assert len(acknowledged) >= 25
    found = list(dict.fromkeys(e.image_id for e in ReviewStore(decisions).entries()))
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1
