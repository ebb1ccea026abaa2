"""A sweep continues past a job that fails, and says which did."""

import json

import pytest

from core.errors import InputError


@pytest.fixture
def sweep(train_command, tiny, tmp_path, monkeypatch):
    import train
    from core.command.sweep import Sweep

    def run(*overrides):
        monkeypatch.setattr(train, "SWEEP", Sweep())
        where = [f"experiment.results_dir={tmp_path}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
        ended = train_command("-m", *tiny, "training.num_epochs=1", *where, *overrides)
        found = [json.loads(path.read_text()) for path in tmp_path.glob("*/results.json")]
        return ended, found

    return run


@pytest.mark.slow
def test_a_job_with_a_mistake_does_not_end_the_sweep(sweep):
    ended, found = sweep("loss.gamma=-1,2")
    assert ended.exit_code == 1
    assert [results["config"]["loss"]["gamma"] for results in found] == [2]
    assert found[0]["status"] == "completed"
    table = ended.errors.partition("1 of 2 jobs failed:\n")[2]
    assert table.startswith("  job 1, loss.gamma=-1: ")
    assert "greater than or equal to 0" in table
    assert "Traceback" not in ended.errors


@pytest.mark.slow
def test_a_job_with_a_defect_does_not_end_the_sweep_either(sweep, monkeypatch):
    def defective(config):
        if config.loss["gamma"] == 1:
            raise ZeroDivisionError("a defect")
        return {}

    monkeypatch.setattr("core.running.composition.train", defective)
    ended, _ = sweep("loss.gamma=1,2")
    assert ended.exit_code == 1
    assert "ZeroDivisionError: a defect" in ended.errors.partition("1 of 2 jobs failed:")[2]


def test_a_job_that_differs_from_no_other_is_named_by_its_number(sweep, monkeypatch):
    def mistaken(config):
        raise InputError("loss.gamma=2: a mistake")

    monkeypatch.setattr("core.running.composition.train", mistaken)
    ended, _ = sweep("loss.gamma=2")
    assert ended.exit_code == 1
    assert ended.errors.endswith("1 of 1 jobs failed:\n  job 1: loss.gamma=2: a mistake\n")


def test_a_sweep_without_a_failure_ends_as_usual(sweep, monkeypatch):
    monkeypatch.setattr("core.running.composition.train", lambda config: {})
    ended, _ = sweep("loss.gamma=1,2")
    assert ended.exit_code == 0
    assert "failed" not in ended.errors
