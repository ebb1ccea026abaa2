"""code/compare.py and code/report.py, as a user runs them."""

import json
import sys

import pytest
from experiment_factory import write_experiment

import compare
import report
from core.command.mistakes import run_command


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name in ("one", "two"):
        write_experiment(folder, name=name, images=60)
    (folder / "cut").mkdir()
    (folder / "cut" / "results.json").write_text("{")
    return folder


@pytest.fixture
def run(results_dir, monkeypatch, capsys):
    """Run a command on these experiments; its output, error output and exit code."""

    def run(command, *arguments):
        words = [*map(str, arguments), "--results-dir", str(results_dir)]
        monkeypatch.setattr(sys, "argv", [f"code/{command.__name__}.py", *words])
        exit_code = 0
        try:
            run_command(command.main)
        except SystemExit as ended:
            exit_code = ended.code
        return *capsys.readouterr(), exit_code

    return run


def test_compare_prints_what_can_be_compared(run):
    output, errors, exit_code = run(compare, "--format", "json")
    assert exit_code == 0, errors
    content = json.loads(output)
    assert {row["experiment"] for row in content["experiments"]} == {"one", "two"}
    assert len(content["pairs"]) == 1
    assert len(content["problems"]) == 1


def test_csv_stays_clean_and_the_notes_go_to_the_error_output(run):
    output, errors, _ = run(compare, "--format", "csv")
    assert [line.split(",")[1] for line in output.splitlines()] == ["experiment", "one", "two"]
    assert "not a JSON file" in errors


def test_tables_are_as_wide_as_the_terminal_and_80_columns_at_least(run, monkeypatch):
    def widest(columns):
        monkeypatch.setenv("COLUMNS", columns)
        output, errors, exit_code = run(compare, "--columns", "f1, all")
        assert exit_code == 0, errors
        return max(len(line) for line in output.splitlines() if not line.startswith(("- ", "  ")))

    assert widest("40") == widest("80") <= 80
    assert 80 < widest("150") <= 150


def test_report_prints_where_it_is(run, results_dir):
    output, errors, exit_code = run(report, "one")
    assert exit_code == 0, errors
    assert output.strip() == str(results_dir / "one" / "report.html")
    assert (results_dir / "one" / "report.html").is_file()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (compare, ["--sort", "accuracy"]),
        (compare, ["--columns", "f1,accuracy"]),
        (report, ["three"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, command, arguments):
    output, errors, exit_code = run(command, *arguments)
    assert exit_code == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert len(errors.strip().splitlines()) == 1


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e"


@pytest.mark.parametrize("format_name", ["table", "csv", "json", "markdown"])
def test_escape_sequences_of_an_experiment_do_not_reach_the_terminal(
    format_name, tmp_path, monkeypatch, capsys
):
    for name in ("one", f"two{HOSTILE}"):
        write_experiment(tmp_path, name=name, images=60, config={"data.root": name})
    (tmp_path / f"cut{HOSTILE}").mkdir()
    (tmp_path / f"cut{HOSTILE}" / "results.json").write_text(f'{{"status": "{HOSTILE}')
    words = ["compare.py", "--format", format_name, "--results-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    run_command(compare.main)
    printed = "".join(capsys.readouterr())
    assert "two" in printed
    assert not set(printed) & set(HOSTILE[:1] + "\x07\u202e")


def test_escape_sequences_in_a_mistake_do_not_reach_the_terminal(run):
    _, errors, exit_code = run(report, f"no{HOSTILE}")
    assert exit_code == 2
    assert "no\\x1b]0;owned\\x07" in errors
