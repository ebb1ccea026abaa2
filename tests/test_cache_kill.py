"""A training that is killed while it fills the image cache leaves nothing that is ever read."""

import pytest
from cache_kills import reports_of_cache_kills
from kill_moments import in_own_process

NAMED = "named the cache"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def reports(tiny, tmp_path_factory) -> list[dict]:
    """How the trainings ended that followed those which were killed."""
    work = tmp_path_factory.mktemp("cache_killed")
    more = ["data.num_images=40", "training.checkpoint_minutes=1e-9"]
    return in_own_process(reports_of_cache_kills, work, [*tiny, *more])


def test_killed_at_every_kind_of_moment_nothing_half_written_has_its_name(reports):
    assert len(reports) == 8
    for report in reports:
        assert report["killed"] == -9, report
        (left,) = report["left"]
        label, _ = report["moment"]
        assert left.startswith("images_") == (label == NAMED), report
        assert left.endswith(".part") == (label != NAMED), report


def test_the_next_training_ends_with_the_figures_of_one_without_a_cache(reports):
    for report in reports:
        assert report["ended"] == 0, report
        assert not report["differences"], report
        assert report["whole"] == 1, report


def test_a_training_begins_after_the_cache_and_a_resumed_one_was_stopped_before_it(reports):
    for report in reports:
        assert report.get("experiments", 0) == 0, report
        assert report.get("stopped", -9) == -9, report
    assert sum("stopped" in report for report in reports) == 2
