"""A pretraining by MoCo that is killed within an epoch resumes to the same bits."""

import pytest
from kill_moments import in_own_process
from pretraining_kills import MOMENTS, reports_of_pretraining_kills
from pretraining_runs import write_strips

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> list[dict]:
    """How each of the pretrainings ended that were killed."""
    where = tmp_path_factory.mktemp("killed")
    words = ["method.name=moco", "method.queue_size=18", "method.momentum=0.9"]
    words += ["model.drop_rate=0.2", "training.checkpoint_minutes=1e-9"]
    strips = write_strips(where / "strips", range(26))
    words.append(f"data.unlabelled={strips}")
    return in_own_process(reports_of_pretraining_kills, where, words)


def test_each_was_killed_within_an_epoch_and_left_whole_files(reports):
    assert len(reports) == len(MOMENTS)
    for report in reports:
        assert report["killed"] == -9, report
        assert not report["broken"], report
    places = [(at["epoch"], at["step"]) for report in reports for at in report["resumed_at"]]
    assert len(places) == len(MOMENTS)
    assert all(step > 0 for _, step in places), places
    assert {epoch for epoch, _ in places} == {1, 2}


def test_queue_key_encoder_and_history_are_those_of_one_that_nothing_killed(reports):
    for report in reports:
        assert report["resumed"] == 0, report
        assert not report["differences"], report
        assert not report["left_over"], report
    assert b"\xff" * 8 not in reports[0]["queue"][2]  # all of the queue is filled
