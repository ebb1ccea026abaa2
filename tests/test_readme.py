"""The README is true: its commands compose, its tables are complete, its code runs."""

import json
import logging
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import fuzzing
import pytest
from conftest import REPOSITORY
from hydra.core.global_hydra import GlobalHydra
from torch._inductor import config as inductor

from core.losses.registry import get_registry as losses
from core.models.registry import get_registry as models

README = (REPOSITORY / "README.md").read_text()
SET_UP = "python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python "


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
TRAININGS = [line for line in COMMANDS if "code/train.py" in line]


def test_the_two_commands():
    assert SET_UP + "code/train.py experiment=quickstart" in COMMANDS
    assert SET_UP + "-m pytest" in COMMANDS
    run = (REPOSITORY / ".ci" / "run").read_text()
    assert "-m pytest\n" in run


@pytest.mark.parametrize("command", TRAININGS)
def test_training_commands_compose(command, compose):
    words = shlex.split(command.partition("code/train.py")[2])
    overrides = [word for word in words if word not in ("-m", "--help")]
    # Keys of a launcher that is an optional install.
    overrides = [word for word in overrides if not word.startswith(("hydra/", "hydra."))]
    jobs = [[]]
    for override in overrides:
        key, _, value = override.partition("=")
        choices = value.split(",") if "-m" in words else [value]
        jobs = [[*job, f"{key}={choice}"] for job in jobs for choice in choices]
    for job in jobs:
        config = compose(*job).resolved()
        for override in job:
            key, _, value = override.partition("=")
            assert was_set(config, key, value), f"{override} had no effect"


def was_set(config: dict, key: str, value: str) -> bool:
    chosen = ("experiment", "data", "model", "loss", "augmentation", "supervision", "resume")
    if key in chosen:
        return True
    for part in key.split("."):
        config = config[part]
    return str(config) in (value, value.capitalize()) or (
        value in ("null", "false") and config is None
    )


# Commands on experiments run in a folder that holds one, in the order of the README: a later one
# may need what an earlier one wrote. Benchmarks get next to no time.
RUN_HERE = {
    "code/compare.py": [],
    "code/report.py": [],
    "code/evaluate.py": [],
    "code/predict.py": [],
    "code/export.py": [],
    "code/explain.py": [],
    "code/validate_data.py": ["data.image_size=[32,160]"],
    "code/benchmark.py": [
        *("--image-size", "64", "320", "--num-images", "24", "--batch-size", "4"),
        *("--rounds", "1", "--model", "resnet10_slim"),
    ],
    "code/benchmark_losses.py": ["--budget-seconds", "0.01", "--losses", "bce_with_logits"],
}


@pytest.fixture(scope="module")
def workplace(trained, tmp_path_factory) -> Path:
    """A folder in which the commands write into an experiment of their own."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(trained.parents[2], folder, dirs_exist_ok=True)
    (folder / "data").mkdir()
    root = json.loads((trained / "results.json").read_text())["data"]["root"]
    (folder / "data" / "severstal").symlink_to(root)
    return folder


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in TRAININGS])
def test_other_commands_run(command, workplace, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.metrics.RESAMPLES", 20)
    # What the fixture learned in two epochs is noise, and so is what int8 costs it.
    monkeypatch.setattr("core.exporting.fidelity.MOST_LOST", 1.0)
    # tests/benchmark measures a training; a second one would take the time of a hundred tests.
    monkeypatch.setattr("benchmarks.memory.peak_memory_bytes", lambda *_: 1 << 30)
    if "-m pytest" in command:
        return
    if command.startswith("pip install"):
        assert command.count("==") == 1
        return
    python, script, *words = shlex.split(command)
    assert python == "python"
    monkeypatch.chdir(workplace)
    words = [name for word in words for name in sorted(map(str, Path().glob(word))) or [word]]
    monkeypatch.setattr(sys, "argv", [script, *words, *RUN_HERE[script]])
    # Each command configures logging for the standard output of its own process.
    logging.getLogger().handlers.clear()
    try:
        # torch.compile takes a minute; tests/exporting/test_latency.py holds it to its answers.
        with inductor.patch({"cpp.cxx": (None, "no-compiler")}):
            runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    finally:
        GlobalHydra.instance().clear()
    assert capsys.readouterr().out.strip()


def test_the_fuzz_command_tries_as_many_inputs_as_it_says():
    (command,) = [command for command in COMMANDS if "fuzz" in command]
    assert command in fuzzing.__doc__
    files = sorted((REPOSITORY / "tests").rglob("test_*fuzz*.py"))
    assert sum(path.read_text().count("@fuzzed") for path in files) == fuzzing.TARGETS


def test_every_component_has_a_line_in_a_table():
    for name in [*models().list(), *losses().list()]:
        assert f"| `{name}` |" in README


def test_no_placeholder_is_left():
    assert not re.findall(r"\b[A-Z]+_TABLE\b", README)
