"""A training that is killed at any moment leaves whole files, and resumes to the same end."""

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def reports(tiny, tmp_path_factory) -> list[dict]:
    """How each of the trainings ended that `kill_moments` killed."""
    work = tmp_path_factory.mktemp("killed")
    # Every step is saved, so that many of the moments lie within an epoch.
    more = ["model.drop_rate=0.3", "training.checkpoint_minutes=1e-9", "data.num_images=40"]
    overrides = [*tiny, *more]
    ended = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "kill_moments.py", work, *overrides],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


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
