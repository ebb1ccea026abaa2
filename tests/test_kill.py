"""A training that is killed at any moment leaves whole files, and resumes to the same end."""

import pytest
from kill_moments import in_own_process, reports_of_kills

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def reports(tiny, tmp_path_factory) -> list[dict]:
    """How each of the trainings ended that were killed."""
    # Every step is saved, so that many of the moments lie within an epoch.
    more = ["model.drop_rate=0.3", "training.checkpoint_minutes=1e-9", "data.num_images=28"]
    return in_own_process(reports_of_kills, tmp_path_factory.mktemp("killed"), [*tiny, *more])


def test_killed_at_25_moments(reports):
    assert len(reports) == 25
    assert sum(report["killed"] == -9 for report in reports) >= 20
    assert not [report for report in reports if report["broken"]]


def test_every_killed_training_resumes_to_the_uninterrupted_numbers(reports):
    for report in reports:
        if not report["begun"]:
            # Nothing was done yet; only these moments come before config.yaml.
            assert report["moment"].startswith(("after", "begin config", "half of results")), report
            continue
        assert report.get("resumed", 0) == 0, report
        assert not report["differences"], report
        assert "resumed" not in report or not report["left_over"], report
    assert sum(report["begun"] for report in reports) >= 20
    assert sum("resumed" in report for report in reports) >= 18
