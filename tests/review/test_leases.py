"""What each reviewer is shown: leases, strips for two, and a random sample."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reviewing import FINGERPRINT, decision

from core.errors import InputError
from core.review.leases import (
    LEASE_SECONDS,
    Assignment,
    Shares,
    chosen,
    lease_next,
    order_of_review,
)
from core.review.store import ReviewStore

RANKED = [f"{number:04d}.jpg" for number in range(2000)]


@pytest.fixture
def store(tmp_path) -> ReviewStore:
    return ReviewStore(tmp_path / "decisions.sqlite", create=True)


def names(assignments: list[Assignment]) -> list[str]:
    return [assignment.image_id for assignment in assignments]


def test_a_strip_is_leased_to_one_reviewer_for_ten_minutes(store):
    order = [Assignment(name, False, "ranked", 1) for name in "abc"]
    assert names(lease_next(store, "Ann", order, 2, now=0)) == ["a", "b"]
    assert names(lease_next(store, "Bob", order, 2, now=1)) == ["c"]
    assert lease_next(store, "Eve", order, now=LEASE_SECONDS - 1) == []
    # Ann renews hers; that of Bob ends.
    assert names(lease_next(store, "Ann", order, 2, now=300)) == ["a", "b"]
    assert names(lease_next(store, "Eve", order, 3, now=LEASE_SECONDS + 1)) == ["c"]
    assert names(lease_next(store, "Bob", order, 3, now=2 * LEASE_SECONDS + 2)) == list("abc")


def test_a_strip_is_shown_until_enough_reviewers_decided(store):
    order = [Assignment("a.jpg", True, "ranked", 2), Assignment("b.jpg", False, "ranked", 1)]
    store.append([decision("a.jpg"), decision("b.jpg")])
    assert lease_next(store, "Ann", order) == []
    assert names(lease_next(store, "Bob", order)) == ["a.jpg"]
    store.append([decision("a.jpg", reviewer="Bob")])
    assert lease_next(store, "Eve", order) == []
    store.undo("Ann")
    assert names(lease_next(store, "Eve", order, 2)) == ["a.jpg", "b.jpg"]


def test_a_decision_ends_the_lease(store):
    order = [Assignment("a.jpg", True, "ranked", 2)]
    assert names(lease_next(store, "Ann", order)) == ["a.jpg"]
    assert lease_next(store, "Bob", order) == []
    store.append([decision("a.jpg")])
    assert names(lease_next(store, "Bob", order)) == ["a.jpg"]


def test_each_strip_stands_once_in_the_order_and_the_shares_hold():
    order = order_of_review(RANKED, FINGERPRINT, Shares(double=0.2, random=0.1))
    assert sorted(names(order)) == RANKED
    ranked = [item.image_id for item in order if item.sample == "ranked"]
    assert ranked == sorted(ranked)
    for part in (order, order[:400]):
        assert sum(item.sample == "random" for item in part) == pytest.approx(
            0.1 * len(part), abs=4 * (0.09 * len(part)) ** 0.5
        )
    doubled = [item for item in order if item.num_reviewers == 2]
    assert 300 < len(doubled) < 500
    assert all(item.blind == (item.num_reviewers == 2 or item.sample == "random") for item in order)


def test_the_random_sample_does_not_depend_on_the_ranking():
    turned = order_of_review(RANKED[::-1], FINGERPRINT)
    drawn = [item for item in order_of_review(RANKED, FINGERPRINT) if item.sample == "random"]
    assert [item for item in turned if item.sample == "random"] == drawn
    assert names(drawn) != sorted(names(drawn))
    assert all(chosen(FINGERPRINT, name, 0.2, "random") for name in names(drawn))
    assert order_of_review([], FINGERPRINT) == []


def without_the_table_of_reviewed_strips(path):
    """The store as the version before wrote it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE reviewed")
        connection.execute("DROP TRIGGER reviewed_more")
        connection.execute("DROP TRIGGER reviewed_less")
        connection.execute("PRAGMA user_version = 1")


@pytest.mark.parametrize("create", [True, False])
def test_a_store_of_the_version_before_is_read_and_goes_on(store, create):
    order = [Assignment(name, True, "ranked", 1) for name in "abc"]
    store.append([decision("a"), decision("a", class_name="crack")])
    store.append([decision("b")])
    store.undo("Ann")
    without_the_table_of_reviewed_strips(store.path)
    before = store.path.read_bytes()
    old = ReviewStore(store.path)
    assert [entry.image_id for entry in old.entries()] == ["a", "a"]
    assert store.path.read_bytes() == before  # who only reads changes nothing
    old = ReviewStore(store.path, create=create)
    assert names(lease_next(old, "Ann", order, 3)) == ["b", "c"]
    assert len(old.undo("Ann")) == 2
    assert names(lease_next(ReviewStore(store.path), "Ann", order, 3)) == ["a", "b", "c"]


def test_a_table_of_reviewed_strips_that_is_not_that_of_the_log_is_refused(store):
    store.append([decision("a.jpg")])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM reviewed")
    with pytest.raises(InputError, match="not that of its log"):
        ReviewStore(store.path)


@pytest.mark.slow
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(["Ann", "Bob"]), st.sampled_from(["a", "b", "undo"]))))
def test_what_is_open_is_what_the_log_says(store, steps):
    store.path.unlink()
    store = ReviewStore(store.path, create=True)
    for name, step in steps:
        if step == "undo":
            store.undo(name)
        else:
            store.append([decision(step, reviewer=name), decision(step, "keep", reviewer=name)])
    entries = ReviewStore(store.path).entries()
    order = [Assignment(name, True, "ranked", 2) for name in "ab"]
    for number, reviewer in enumerate(("Ann", "Bob", "Eve")):
        by = {name: {e.reviewer for e in entries if e.image_id == name} for name in "ab"}
        wanted = [name for name in "ab" if reviewer not in by[name] and len(by[name]) < 2]
        now = number * 2 * LEASE_SECONDS  # those of the others have ended
        assert names(lease_next(store, reviewer, order, 2, now=now)) == wanted
