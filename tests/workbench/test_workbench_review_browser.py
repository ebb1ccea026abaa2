"""The page of a review in a browser: by keys alone, blind, undone after a reload, offline."""

import contextlib
import json
import statistics
from pathlib import Path

import pytest
from browsing import HOSTILE, IN_A_BROWSER, expect, login, new_page, opened
from experiment_factory import write_experiment
from launching_workbench import launching
from reviewable import Reviewer, write_reviewable
from running_workbench import running

from core.review.store import ReviewStore
from core.workbench.review_lists import read_review_list
from core.workbench.strip_sources import strip_key

pytestmark = IN_A_BROWSER
NUM_DECISIONS = 200
# From a key to the picture of the next strip, which has then been drawn once.
WATCH = """() => {
  window.waits = [];
  addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
  let shown = document.querySelector("[data-strip]").dataset.strip;
  new MutationObserver(async () => {
    const strip = document.querySelector("[data-strip]")?.dataset.strip;
    if (strip === shown || !strip) return;
    shown = strip;
    await document.querySelector(".strip-canvas img.strip").decode().catch(() => {});
    requestAnimationFrame(() => window.waits.push(performance.now() - window.pressed));
  }).observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true });
}"""

# The strip that follows this one, within a frame of its being shown.
NEXT = """async before => {
  for (;;) {
    const strip = document.querySelector("[data-strip]")?.dataset.strip;
    if (strip && strip !== before) return strip;
    await new Promise(requestAnimationFrame);
  }
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    write_reviewable(folder)
    return folder


@pytest.fixture
def served(made, tmp_path):
    with running(made / "results", decisions=tmp_path / "decisions.sqlite") as workbench:
        yield workbench


def begin(page, name="Ann"):
    """Give the reviewer's name by keys, and wait for the first strip."""
    page.get_by_label("Reviewer").fill(name)
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Strip")).to_be_visible()


@contextlib.contextmanager
def begun(browser, served):
    """A page on which Ann reviews, and whose requests may fail."""
    with new_page(browser) as page:
        page.goto(login(served, f"#review?key={served.key('reviewable')}"))
        begin(page)
        yield page


def decide(page):
    """Save the strip that is shown, and wait for another; returns its key."""
    key = strip_of(page)
    page.keyboard.press("Enter")
    expect(page.locator(f'[data-strip="{key}"]')).to_have_count(0)
    return key


def failing(status, detail):
    """Answers with this status."""
    content = json.dumps({"detail": detail})
    return lambda route: route.fulfill(status=status, content_type="application/json", body=content)


def strip_of(page):
    return page.locator("[data-strip]").get_attribute("data-strip")


def entries_of(folder: Path):
    return ReviewStore(folder / "decisions.sqlite").entries()


def planned(strip, blind, number):
    """Keys for a strip, one way after the other, and the labels that they stand for."""
    given = [0] * 4 if blind else list(strip.labels)
    asked = range(4) if blind else [strip.column]
    doubted = not blind and strip.suggested != strip.labels[strip.column]
    way = number % 5
    if way == 1 and doubted:
        other = (strip.column + 1) % 4
        wanted = {strip.column: strip.suggested, other: 1 - given[other]}
        return [str(other + 1), "a"], [wanted.get(at, label) for at, label in enumerate(given)]
    if way == 2:
        return "s", [None if at in asked else label for at, label in enumerate(given)]
    if way == 3:
        return ["2", "4", "4", "Enter"], [given[0], 1 - given[1], given[2], None]
    if way == 4 and not blind:
        return ["1", "k"], given
    return ["Enter"], given


def test_two_hundred_decisions_by_keys_alone(browser, served, made, tmp_path, record_property):
    strips = read_review_list(made / "results" / "reviewable", "suspects").strips
    originals = {path: path.read_bytes() for path in (made / "strips").rglob("*.*")}
    wanted = {}
    with opened(browser, served, f"#review?key={served.key('reviewable')}") as page:
        begin(page)
        page.evaluate(WATCH)
        key = strip_of(page)
        for number in range(NUM_DECISIONS):
            blind = page.get_by_text("Given labels and probabilities are hidden").count() == 1
            keys, wanted[key] = planned(strips[key], blind, number)
            for each in keys:
                page.keyboard.press(each)
            key = page.evaluate(NEXT, key)
        expect(page.get_by_text("not saved yet")).to_have_count(0)
        expect(page.get_by_text("Saved.")).to_be_visible()
        waits = sorted(page.evaluate("() => window.waits"))
    found = {}
    for entry in entries_of(tmp_path):
        found.setdefault(strip_key(entry.image_id), []).append(entry.label)
    assert len(wanted) == NUM_DECISIONS
    assert found == wanted
    assert len(waits) >= 0.9 * NUM_DECISIONS  # the last of two in one frame may be seen alone
    record_property("milliseconds_to_the_next_strip", [statistics.median(waits), waits[-1]])
    print(f"to the next strip: median {statistics.median(waits):.0f} ms, most {waits[-1]:.0f} ms")
    assert all(path.read_bytes() == content for path, content in originals.items())


def test_undo_goes_back_past_a_reload_and_shows_what_was_decided(browser, served, tmp_path):
    with opened(browser, served, f"#review?key={served.key('reviewable')}") as page:
        begin(page)
        order = []
        for keys in (["1", "Enter"], ["Enter"], ["s"]):
            order.append(strip_of(page))
            for each in keys:
                page.keyboard.press(each)
            expect(page.locator(f'[data-strip="{order[-1]}"]')).to_have_count(0)
        expect(page.get_by_text("Saved. Last")).to_be_visible()
        page.reload()
        expect(page.get_by_role("region", name="Strip")).to_be_visible()
        for keys, key in (("u", order[2]), ("Control+z", order[1]), ("u", order[0])):
            page.keyboard.press(keys)
            expect(page.locator(f'[data-strip="{key}"]')).to_be_visible()
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()
        first = page.get_by_role("group", name="Defects").get_by_role("button").first
        decided = first.get_by_role("strong").inner_text()
    assert entries_of(tmp_path) == []
    given = read_review_list(served.index.results_dir / "reviewable", "suspects").strips[order[0]]
    assert (decided == "shown") == (given.labels[0] == 0)


def test_a_blind_strip_tells_nothing_before_it_is_decided(browser, served):
    with opened(browser, served, f"#review?key={served.key('reviewable')}") as page:
        begin(page)
        blind = page.get_by_text("Given labels and probabilities are hidden")
        while not blind.count():
            decide(page)
        assert "given:" not in page.locator(".desk .classes").inner_text()
        name = page.locator("[data-strip]").inner_text().split()[0]
        page.keyboard.press("Enter")
        last = page.get_by_text(f"Last, blind: {name}. Given: ")
        expect(last).to_be_visible()


def test_a_strip_is_reviewed_again_by_a_link(browser, served, tmp_path):
    key = served.key("reviewable")
    with opened(browser, served, f"#review?key={key}") as page:
        begin(page)
        page.keyboard.press("2")
        before = page.get_by_role("group", name="Defects").inner_text()
        decided = decide(page)
        expect(page.get_by_text("Saved. Last")).to_be_visible()
        page.goto(f"http://{served.host}/#strips?place={key}&strip={decided}")
        page.get_by_role("link", name="Review its labels").click()
        expect(page.locator(f'[data-strip="{decided}"]')).to_be_visible()
        assert page.get_by_role("group", name="Defects").inner_text() == before
        page.keyboard.press("2")
        decide(page)
        assert "again" not in page.url
        expect(page.get_by_text("Saved. Last")).to_be_visible()
        page.reload()
        expect(page.get_by_role("region", name="Strip")).to_be_visible()
        assert strip_of(page) != decided
    entries = entries_of(tmp_path)
    assert (len(entries), {strip_key(entry.image_id) for entry in entries}) == (8, {decided})


def test_what_was_decided_while_the_server_was_away_is_sent_later(browser, served, tmp_path):
    with begun(browser, served) as page:
        page.route("**/api/review/*", lambda route: route.abort())
        for number in range(3):  # as many as are prefetched
            decide(page)
            expect(page.get_by_text(f"{number + 1} not saved yet")).to_be_visible()
        expect(page.get_by_role("alert").first).to_contain_text("does not answer")
        assert entries_of(tmp_path) == []
        page.unroute("**/api/review/*")
        page.reload()
        expect(page.get_by_text("Saved. Last")).to_be_visible()
    assert len(entries_of(tmp_path)) == 3 * 4


def test_what_a_reviewer_left_unsaved_is_sent_while_another_reviews(browser, served, tmp_path):
    with begun(browser, served) as page:
        locked = failing(503, "decisions.sqlite: database is locked")
        page.route("**/api/review/decide", locked)
        page.route("**/api/review/next", locked)
        decided = {decide(page), decide(page)}
        page.get_by_label("Reviewer").fill("Bob")
        page.keyboard.press("Tab")
        expect(page.get_by_role("alert")).to_have_text("503: decisions.sqlite: database is locked")
        expect(page.get_by_text("2 not saved yet")).to_be_visible()
        page.unroute("**/api/review/decide")
        expect(page.get_by_text("not saved yet")).to_have_count(0)
        assert {(strip_key(e.image_id), e.reviewer) for e in entries_of(tmp_path)} == {
            (key, "Ann") for key in decided
        }
        # A question that failed, for whatever reason, is asked again.
        page.unroute("**/api/review/next")
        page.route("**/api/review/next", failing(422, "a child was ended"))
        expect(page.get_by_role("alert")).to_have_text("422: a child was ended")
        page.unroute("**/api/review/next")
        expect(page.get_by_role("region", name="Strip")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        assert strip_of(page) not in decided


def test_what_is_refused_is_kept_until_it_is_forgotten(browser, served, tmp_path):
    with begun(browser, served) as page:
        page.route("**/api/review/decide", failing(422, "decision: no such strip"))
        refused = decide(page)
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("refuses: 1. 422: decision: no such strip")
        page.reload()
        expect(alert).to_contain_text("refuses: 1. 422: decision: no such strip")
        expect(page.get_by_role("region", name="Strip")).to_be_visible()
        assert strip_of(page) != refused
        # It is tried again and again: also while it is forgotten.
        tried = []
        page.route("**/api/review/decide", lambda route: tried.append(route))
        while not tried:
            page.wait_for_timeout(20)
        page.get_by_role("button", name="Forget them").click()
        expect(alert).to_have_count(0)
        with page.expect_response("**/api/review/decide"):
            failing(422, "decision: no such strip")(tried[0])
        page.unroute("**/api/review/decide")
        while strip_of(page) != refused:
            decide(page)
        decide(page)
        expect(page.get_by_text("Saved. Last")).to_be_visible()
        expect(alert).to_have_count(0)
    assert strip_key(entries_of(tmp_path)[-1].image_id) == refused


def test_two_reviewers_see_different_strips_and_the_progress_of_both(browser, made, tmp_path):
    decisions = tmp_path / "decisions.sqlite"
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(
            launching(made / "results", tmp_path / "queue", decisions=decisions)
        ).served
        bob = Reviewer(served, "Bob")
        theirs = {strip["key"] for strip in bob.next(3)["strips"]}
        bob.decide(bob.next(1)["strips"][0], [0, 0, 0, 0])
        address = f"#review?key={served.key('reviewable')}"
        page = stack.enter_context(opened(browser, served, address))
        begin(page)
        assert strip_of(page) not in theirs
        page.keyboard.press("Enter")
        expect(page.get_by_text("By reviewer: Ann 4, Bob 4")).to_be_visible()
        page.get_by_text("What to do with the decisions").click()
        expect(page.get_by_text("data.corrections=")).to_be_visible()


def test_hostile_names_are_text_and_nothing_is_too_wide(browser, tmp_path):
    names = (HOSTILE, "b" * 300, "c", "d")
    write_reviewable(tmp_path, name=HOSTILE, images=12, class_names=names)
    small = {"viewport": {"width": 390, "height": 844}}
    with (
        running(tmp_path / "results") as served,
        opened(browser, served, "#review", **small) as page,
    ):
        page.get_by_role("link", name=HOSTILE).click()
        begin(page, HOSTILE)
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"By reviewer: {HOSTILE} 4")).to_be_visible()
        page.keyboard.press("?")
        expect(page.get_by_text("single keys are on")).to_be_visible()
        assert page.locator("html").evaluate("page => page.scrollWidth") <= 390


def test_without_predictions_it_says_the_one_command(browser, tmp_path):
    write_experiment(tmp_path, name="pretraining")
    (tmp_path / "pretraining" / "results.json").unlink()
    with running(tmp_path) as served, opened(browser, served, "#review") as page:
        command = page.get_by_text("experiment=quickstart training.folds=5")
        expect(command).to_be_visible()
