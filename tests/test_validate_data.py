"""`python code/validate_data.py`: exit codes, its report, and its keys."""

import json
import logging
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

import validate_data
from core.command.mistakes import run_command
from core.running.data_validation import SECTIONS, explain_key


@pytest.fixture
def validate(monkeypatch, capsys, tmp_path):
    """Run the command in this process, in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["code/validate_data.py", *map(str, arguments)])
        capsys.readouterr()
        logging.getLogger().handlers.clear()
        exit_code = 0
        try:
            run_command(validate_data.main, explain_key)
        except SystemExit as exit_:
            exit_code = exit_.code
        finally:
            GlobalHydra.instance().clear()
        return exit_code, *capsys.readouterr()

    return run


@pytest.fixture
def strips(tmp_path):
    return [
        "data=synthetic",
        f"data.root={tmp_path / 'strips'}",
        "data.num_images=30",
        "data.image_size=[64,320]",
        "data.class_shares=flat",
    ]


def test_sound_data_end_with_zero_and_a_report(validate, strips, tmp_path):
    exit_code, output, errors = validate(*strips)
    assert (exit_code, errors) == (0, "")
    assert "30 images, 30 of them usable, labels from train.csv" in output
    file = tmp_path / "experiments" / "results" / "data_report.json"
    assert f"Report: {file.relative_to(tmp_path)}" in output
    report = json.loads(file.read_text())
    assert report["num_errors"] == 0
    assert report["num_images"] == 30


@pytest.mark.slow
def test_errors_end_with_one_and_are_all_in_the_report(validate, strips, tmp_path):
    validate(*strips)
    (root,) = (tmp_path / "strips").iterdir()
    bad = sorted((root / "train_images").iterdir())[:7]
    for path in bad:
        path.write_text("no image")
    found = [
        f"data.root={root}",
        "data.image_size=[64,320]",
        f"report.file={tmp_path / 'own.json'}",
    ]
    exit_code, output, errors = validate(*found, "report.examples=2")
    assert (exit_code, errors) == (1, "")
    assert "ERROR: image that cannot be decoded, 7" in output
    assert output.count("not an image") == 2
    assert "and 5 more in the report" in output
    report = json.loads((tmp_path / "own.json").read_text())
    assert sum(path.name in str(report["findings"]) for path in bad) == 7
    exit_code, output, _ = validate(*found, "data.on_bad_image=skip")
    assert exit_code in (0, 1)
    assert "WARNING: image that cannot be decoded, 7" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.root=/nowhere"], ["data.root=/nowhere", "does not exist"]),
        (["data.rot=x"], ["data.rot", "did you mean 'root'"]),
        (["report.examples=-1"], ["report", "examples=-1"]),
        (["model.name=resnet50"], ["model", "known: data, report"]),
        (["+more.keys=1"], ["more", "known: data, report"]),
        (["data.image_size=[1,2]"], ["data", "image_size"]),
        (["data=nowhere"], ["nowhere", "synthetic"]),
        (["data.num_images=7"], ["data.num_images=7", "data.source=synthetic only"]),
    ],
)
def test_wrong_usage_ends_with_two_and_one_line(validate, tmp_path, arguments, words):
    exit_code, _, errors = validate(*arguments)
    assert exit_code == 2
    (line,) = errors.strip().splitlines()
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_report_replaces_only_a_report(validate, strips, tmp_path):
    labels = tmp_path / "labels.json"
    labels.write_text('{"schema_version": 1, "findings": []}')
    exit_code, _, errors = validate(*strips, f"report.file={labels}")
    assert exit_code == 2
    assert f"report.file {labels}: exists, and this command did not write it" in errors
    labels.unlink()
    for _ in range(2):
        assert validate(*strips, f"report.file={labels}")[0] == 0


def test_a_report_that_cannot_be_written_is_wrong_usage(validate, strips, tmp_path):
    (tmp_path / "file").write_text("")
    exit_code, _, errors = validate(*strips, f"report.file={tmp_path / 'file' / 'report.json'}")
    assert exit_code == 2
    assert "report.file" in errors


@pytest.mark.slow
def test_help_names_every_key(validate):
    exit_code, output, _ = validate("--help")
    assert exit_code == 0
    for section, settings in SECTIONS.items():
        for key in settings.model_fields:
            assert f"{section}.{key}=" in output
