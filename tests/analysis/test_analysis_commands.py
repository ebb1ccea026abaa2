"""code/compare.py and code/report.py, as a user runs them."""

import json
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from experiment_factory import write_experiment


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "code" / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name in ("one", "two"):
        write_experiment(folder, name=name, images=60)
    (folder / "cut").mkdir()
    (folder / "cut" / "results.json").write_text("{")
    return folder


def test_compare_prints_what_can_be_compared(results_dir):
    done = run("compare.py", "--results-dir", results_dir, "--format", "json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert {row["experiment"] for row in content["experiments"]} == {"one", "two"}
    assert len(content["pairs"]) == 1
    assert len(content["problems"]) == 1


def test_report_prints_where_it_is(results_dir):
    done = run("report.py", "one", "--results-dir", results_dir)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(results_dir / "one" / "report.html")
    assert (results_dir / "one" / "report.html").is_file()


@pytest.mark.parametrize(
    ("script", "arguments"), [("compare.py", ["--sort", "accuracy"]), ("report.py", ["three"])]
)
def test_a_mistake_is_one_line_and_exit_code_2(results_dir, script, arguments):
    done = run(script, *arguments, "--results-dir", results_dir)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
