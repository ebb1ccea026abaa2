"""The first line comes before anything that takes seconds to import."""

import subprocess
import sys

import pytest
from conftest import REPOSITORY

COMMANDS = ["train", "predict", "evaluate", "explain", "export", "validate_data", "pretrain",
            "find_similar", "novelty"]  # fmt: skip
# The interpreter says what it had imported by the time of the first line.
SCRIPT = """
import builtins, runpy, sys
def first(*words, **options):
    heavy = {"torch", "timm", "sklearn", "albumentations", "pandas"} & set(sys.modules)
    sys.__stdout__.write(f"{' '.join(words)}|{sorted(heavy)}")
    sys.exit(0)
builtins.print = first
sys.argv = sys.argv[1:]
sys.path.insert(0, "code")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    "command",
    [
        "train",
        *(pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS if name != "train"),
    ],
)
def test_a_line_says_what_is_done_before_heavy_imports(command):
    words = [sys.executable, "-c", SCRIPT, f"code/{command}.py", "/nowhere", "image.png"]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    line, _, heavy = ended.stdout.partition("|")
    assert line.startswith("Starting the "), ended.stderr
    assert heavy == "[]"


@pytest.mark.parametrize(
    ("words", "environment", "shown"),
    [
        ([], {}, True),
        (["experiment=quickstart"], {"RANK": "0"}, True),
        (["--help"], {}, False),
        (["--cfg", "job"], {}, False),
        (["experiment=quickstart"], {"RANK": "1"}, False),
    ],
)
def test_it_is_left_out_of_help_and_of_further_processes(
    words, environment, shown, monkeypatch, capsys
):
    from core.command.mistakes import run_command

    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("core.command.mistakes.start_log", lambda: None)
    run_command(lambda: None, doing="training")
    assert capsys.readouterr().out.startswith("Starting the training") == shown
