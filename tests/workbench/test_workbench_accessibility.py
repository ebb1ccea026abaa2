"""Pages of the workbench as axe-core sees them, light and dark, wide and on a telephone."""

import hashlib
import os
from pathlib import Path

import pytest
from browsed_strips import write_trained
from browsing import IN_A_BROWSER, expect, opened
from launching_workbench import launching
from reviewable import Reviewer, write_reviewable
from running_workbench import running
from trained_twice import FINGERPRINT, write_both, write_review

# .ci/run fetches it, and says where: it is too large to be kept here.
_CACHED = Path.home() / ".cache" / "steel-defect-classification" / "axe-core-4.14.1" / "axe.min.js"
AXE = Path(os.environ.get("AXE_CORE") or _CACHED)
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async (tags) => (await axe.run(document, { runOnly: tags })).violations
  .map(({ id, nodes }) => [id, nodes.slice(0, 3).map((node) => node.html.slice(0, 160))])"""
pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip(f"axe-core is not in {AXE.parent}")
    content = AXE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == AXE_SHA256
    return content.decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with trainings to compare, one whose strips are there, and one to review."""
    folder = tmp_path_factory.mktemp("pages")
    write_reviewable(folder)
    results = folder / "results"
    write_trained(results, folder / "trained_on")
    write_both(results, 400, 1.5, 1.5)
    (results / "reviews").mkdir()
    write_review(results / "reviews" / f"{FINGERPRINT[:16]}.sqlite", results, 120)
    with launching(results, folder / "queue") as workbench:
        workbench.launcher.form()  # the first time takes seconds
        Reviewer(workbench.served, "Bob").next(1)
        yield workbench.served


def experiments(page):
    page.get_by_text("Columns (9)").click()


def experiment(page):
    expect(page.get_by_role("heading", name="Curves")).to_be_visible()


def compare(page):
    expect(page.get_by_role("heading", name="What differs")).to_be_visible()
    page.get_by_label("Smoothing").select_option("0.9")


def new(page):
    page.get_by_text("Training", exact=True).click()
    page.get_by_label("num_epochs", exact=True).fill("0")
    expect(page.locator('[data-key="training.num_epochs"] .wrong')).to_be_visible()


def gain(page):
    expect(page.get_by_role("region", name="the reviewed labels")).to_be_visible()
    page.get_by_text("How to measure it").click()


def strips(page):
    page.locator(".strip-row").first.click()
    expect(page.locator(".strip-canvas img.strip")).to_be_visible()


def review(page):
    page.get_by_label("Reviewer").fill("Ann")
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Strip")).to_be_visible()
    page.keyboard.press("?")


@pytest.mark.parametrize(
    ("show", "address"),
    [
        (experiments, "#experiments"),
        (experiment, "#experiment?key={trained}"),
        (compare, "#compare?selected={given_1}&selected={corrected_1}"),
        (strips, "#strips?place={trained}"),
        (review, "#review?key={reviewable}"),
        (new, "#new"),
        (gain, "#gain"),
    ],
    ids=["experiments", "experiment", "compare", "strips", "review", "new", "gain"],
)
def test_a_page_has_no_violation_and_fits_a_phone(browser, served, axe, show, address):
    keys = {name: row["key"] for name, row in served.rows().items()}
    # Half way through a transition of colours, contrast is low.
    how = {"bypass_csp": True, "reduced_motion": "reduce"}
    with opened(browser, served, address.format(**keys), **how) as page:
        show(page)
        page.evaluate(axe)
        for size in ({"width": 1280, "height": 800}, {"width": 390, "height": 844}):
            page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(RUN, TAGS) == [], (size, scheme)
            assert page.locator("html").evaluate("page => page.scrollWidth") <= size["width"]


def test_without_corrected_labels_the_page_says_the_commands(browser, tmp_path):
    with running(tmp_path) as served, opened(browser, served, "#gain") as page:
        expect(page.get_by_text("No training has corrected labels yet")).to_be_visible()
        expect(page.get_by_text("data.corrections=null")).to_be_visible()
        expect(page.get_by_role("link", name="Gain")).to_have_attribute("aria-current", "page")
