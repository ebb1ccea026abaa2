"""Commands whose reader leaves early, and terminals that lack letters."""

import io
import logging
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY, forget_logs
from experiment_factory import read_results, write_experiment, write_results

ENTRY_POINTS = sorted(path.name for path in (REPOSITORY / "code").glob("*.py"))
LETTERS = "Kratzer \u50b7 \u2192"


def run(*words: str, unread: bool = False, encoding: str = "utf-8") -> subprocess.CompletedProcess:
    """Run Python with these words; `unread`: nobody reads what it prints."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    environment["PYTHONPATH"] = str(REPOSITORY / "code")
    output = subprocess.PIPE
    if unread:
        reader, output = os.pipe()
        os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, *words],
            stdout=output,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=300,
            check=False,
        )
    finally:
        if unread:
            os.close(output)


# One of Hydra's and one of argparse; the next test says why the others do as well.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["validate_data.py", "compare.py"])
def test_a_command_takes_it_that_nobody_reads_its_help(name):
    ended = run(str(REPOSITORY / "code" / name), "--help", unread=True, encoding="cp1252")
    assert ended.returncode == 0
    assert ended.stderr == b""


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_command_runs_by_the_one_function_that_prepares_the_streams(name):
    text = (REPOSITORY / "code" / name).read_text()
    assert text.partition('if __name__ == "__main__":\n')[2].startswith("    run_command(main")


PROGRAM = """
import logging, sys
from core.command.mistakes import run_command
from core.command.terminal import show
from core.errors import InputError
def main():
    for _ in range(3000):
        logging.getLogger("a").info("%s, a line of the log", sys.argv[2])
        show(sys.argv[2])
    open(sys.argv[1], "w").close()
    raise InputError(sys.argv[2])
run_command(main)
"""


@pytest.mark.parametrize("unread", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "encoding", ["cp1252", *(pytest.param(e, marks=pytest.mark.slow) for e in ("ascii", "utf-8"))]
)
def test_a_command_finishes_its_work_whoever_reads(unread, encoding, tmp_path):
    done = tmp_path / "done"
    ended = run("-c", PROGRAM, str(done), LETTERS, unread=unread, encoding=encoding)
    assert ended.returncode == 2
    assert done.exists()
    shown = LETTERS.encode(encoding, "backslashreplace")
    assert ended.stderr.splitlines() == [b"error: " + shown]
    if not unread:
        lines = ended.stdout.splitlines()
        assert lines == [shown + b", a line of the log", shown] * 3000


def test_errors_that_nobody_reads_end_a_command_as_usual(tmp_path):
    words = ["-c", f"import os; os.close(2); os.dup2(1, 2)\n{PROGRAM}", str(tmp_path / "done"), "x"]
    assert run(*words, unread=True).returncode == 2


@pytest.mark.slow
def test_a_table_keeps_its_rows_on_a_terminal_without_the_letters(tmp_path):
    folder = write_experiment(tmp_path, name="one", images=60)
    text = repr(read_results(folder)).replace("defect_1", LETTERS)
    write_results(folder, eval(text))
    words = [str(REPOSITORY / "code" / "compare.py"), "--results-dir", str(tmp_path)]
    words += ["--columns", "f1"]
    ended = run(*words, encoding="cp1252")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"Kratzer \\u50b7 \\u2192" in ended.stdout
    assert b"defect_4" in ended.stdout


def test_the_log_of_a_command_ends_with_its_test():
    root = logging.getLogger()
    of_pytest = list(root.handlers)
    root.addHandler(logging.StreamHandler(io.StringIO()))
    forget_logs()
    assert root.handlers == of_pytest != []
