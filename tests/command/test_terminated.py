"""A command that is told to end leaves nothing half-written."""

import signal
import subprocess
import sys

import pytest
from conftest import REPOSITORY

COMMAND = """
import os, signal, sys
from pathlib import Path
from core.command.mistakes import run_command
from core.files.writing import replacing

def write():
    with replacing(Path(sys.argv[1]) / "predictions.csv") as temporary:
        temporary.write_text("half")
        print("writing")
        os.kill(os.getpid(), int(sys.argv[2]))

# A shell that started the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
run_command(write)
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)]
)
def test_it_leaves_no_half_of_a_file_and_says_how_it_ended(number, code, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, str(tmp_path), str(int(number))],
        cwd=REPOSITORY / "code", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "writing\n", "")
    assert not list(tmp_path.iterdir())
