"""Kills tiny trainings at chosen moments, resumes them, and reports how each ended.

All in a process of its own, forked from one that has imported everything, which forks a child for
each training. Each child counts the moments that it passes, such as half of a file being written.
Threads write while the training goes on, but the moments of one kind come in the same order in each
run: so a child can be told at which of them to send itself SIGKILL.
"""

import io
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from conftest import REPOSITORY, scalings_found_once
from hydra import compose, initialize_config_dir
from outcomes import differences, outcome, read

from core.command.choosers import short_forms
from core.command.config import check_config, fill_config_store
from core.command.help import store_help
from core.errors import EXIT_CODE, InputError
from core.files import tables, writing
from core.files.writing import write_text as write_whole
from core.running.composition import train
from core.running.loading import read_data
from core.running.resuming import find_training
from core.training import trainer
from core.training.classification import history_plot, task

NUM_MOMENTS = 20
NUM_TIMES = 5
# Of each of these, one moment at least.
WANTED = (
    "begin config.yaml", "half of split.csv", "half of last.pt", "half of best.pt",
    "rename last.pt", "renamed last.pt", "rename best.pt", "half of results.json",
    "rename results.json", "step", "predict", "half of model_final.pt", "rename predictions.csv",
)  # fmt: skip


class Moments:
    """Labels of what the process passes; it is killed at `die_on`, a label and how often passed."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.die_on: tuple[str, int] | None = None

    def passed(self, label: str) -> None:
        often = (label, 1 + self.labels.count(label))
        if self.die_on == often:
            os.kill(os.getpid(), signal.SIGKILL)
        self.labels.append(label)


def watch(moments: Moments) -> None:
    """Make every file's writing, every step and every prediction a moment."""
    replace, write_text, mkstemp = Path.replace, Path.write_text, tempfile.mkstemp
    save, update, predict = torch.save, trainer.update, task.predict
    copyfile = shutil.copyfile
    write_cells = tables.write_cells

    def watched_mkstemp(*args, prefix="", **kwargs):
        moments.passed(f"begin {prefix.strip('.')}")
        return mkstemp(*args, prefix=prefix, **kwargs)

    def watched_replace(path, target):
        moments.passed(f"rename {Path(target).name}")
        result = replace(path, target)
        moments.passed(f"renamed {Path(target).name}")
        return result

    def watched_write_text(path, text, **kwargs):
        write_text(path, text[: len(text) // 2], **kwargs)
        moments.passed(f"half of {final_name(path)}")
        return write_text(path, text, **kwargs)

    def watched_write_cells(stream, header, rows, *more):
        rows = list(rows)

        def halfway():
            yield from rows[: len(rows) // 2]
            stream.flush()
            moments.passed(f"half of {final_name(stream.name)}")
            yield from rows[len(rows) // 2 :]

        return write_cells(stream, header, halfway(), *more)

    def watched_save(state, stream):
        content = io.BytesIO()
        save(state, content)
        half = len(content.getvalue()) // 2
        stream.write(content.getvalue()[:half])
        stream.flush()
        moments.passed(f"half of {final_name(stream.name)}")
        stream.write(content.getvalue()[half:])

    def watched_copyfile(source, target):
        content = Path(source).read_bytes()
        Path(target).write_bytes(content[: len(content) // 2])
        moments.passed(f"half of {final_name(target)}")
        return copyfile(source, target)

    def watched_update(*args):
        moments.passed("step")
        return update(*args)

    def watched_predict(*args):
        moments.passed("predict")
        return predict(*args)

    tempfile.mkstemp, Path.replace, Path.write_text = (
        watched_mkstemp, watched_replace, watched_write_text,
    )  # fmt: skip
    tables.write_cells = watched_write_cells
    torch.save, trainer.update = watched_save, watched_update
    writing.shutil.copyfile = watched_copyfile
    task.predict = watched_predict
    # Drawing takes longer than all else here; the file is written the same way.
    history_plot.plot_history = lambda path, *_: write_whole(path, "curves")
    # In the first epoch and at the end, however long a run takes.
    history_plot._LEAST_SECONDS = math.inf


def final_name(path: Path | str) -> str:
    """`last.pt` of the temporary name `.last.pt.x1y2.part`."""
    name = Path(path).name
    return name.strip(".").rsplit(".", 2)[0] if name.endswith(".part") else name


def in_child(work: Callable[[], object], log: Path, kill_after: float | None = None) -> int:
    """Exit code of a forked child that does `work`; negative: the signal that killed it."""
    child = os.fork()
    if child == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = 1
        try:
            work()
            code = 0
        except InputError as error:
            print(f"error: {error}", flush=True)
            code = EXIT_CODE
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files_that_are_not_whole(path: Path) -> list[str]:
    """What has its final name and cannot be read."""
    broken = []
    for file in [*path.glob("*.json"), *path.rglob("*.pt")]:
        try:
            if file.suffix == ".json":
                json.loads(file.read_text())
            else:
                torch.load(file, weights_only=True)
        except Exception as error:
            broken.append(f"{file.name}: {error}")
    return broken


class Killing:
    """One config, its uninterrupted outcome, and its killing at a moment or a time."""

    def __init__(self, folder: Path, overrides: list[str]) -> None:
        self.folder, self.number = folder, 0
        self.moments = Moments()
        watch(self.moments)
        self.log = folder / "log.txt"
        self.composed = self.compose(overrides)
        config = self.config("straight")
        self.moments.labels.clear()
        started = time.perf_counter()
        # In this process, so that its children have done already what is done once in a process.
        self.begin(config)
        self.seconds = time.perf_counter() - started
        self.labels = self.moments.labels.copy()
        self.moments.labels.clear()
        (path,) = (folder / "straight").iterdir()
        self.expected = self.outcome_of(path)

    def compose(self, overrides: list[str]) -> Any:
        composed = check_config(compose("train_config", short_forms(overrides)))
        # First of all the strips, or only the first run would pass the moments of their making.
        read_data(composed.data)
        return composed

    def begin(self, config: Any) -> None:
        train(config)

    def resume(self, path: Path) -> None:
        find_training(str(path), {}, path.parent)[1]()

    def outcome_of(self, path: Path) -> dict:
        return outcome(path)

    def config(self, name: str) -> Any:
        results_dir = {"results_dir": str(self.folder / name)}
        experiment = self.composed.experiment.model_copy(update=results_dir)
        return replace(self.composed, experiment=experiment)

    def kill(self, die_on: tuple[str, int] | None = None, kill_after: float | None = None) -> dict:
        """Kill a training, look at its files, resume it, and compare."""
        self.number += 1
        name = str(self.number)
        config, results_dir = self.config(name), self.folder / name

        def work() -> None:
            self.moments.die_on = die_on
            self.begin(config)

        killed = in_child(work, self.log, kill_after)
        folders = list(results_dir.glob("*")) if results_dir.is_dir() else []
        path = folders[0] if folders else results_dir / "none"
        broken = files_that_are_not_whole(path)
        report = {
            "moment": f"after {kill_after:.2f} s" if kill_after else die_on[0],
            "killed": killed,
            "broken": broken,
            "begun": (path / "config.yaml").is_file(),
        }
        done = (path / "results.json").is_file() and read(path)["status"] == "completed"
        if report["begun"] and not done:
            report["resumed"] = in_child(lambda: self.resume(path), self.log)
        if report["begun"]:
            report["differences"] = differences(self.expected, self.outcome_of(path))
            report["resumed_at"] = read(path)["experiment"].get("resumed_at", [])
            report["left_over"] = [file.name for file in path.rglob(".*.part")]
        return report


def chosen(labels: list[str], generator: random.Random) -> list[tuple[str, int]]:
    """One moment of each wanted kind, and others from all over the run: label, and how often."""
    numbers = []
    for wanted in WANTED:
        numbers.append(generator.choice([i for i, label in enumerate(labels) if label == wanted]))
    others = [i for i in range(len(labels)) if i not in numbers]
    numbers += generator.sample(others, NUM_MOMENTS - len(numbers))
    return [(labels[i], labels[: i + 1].count(labels[i])) for i in sorted(numbers)]


def reports_of_kills(folder: Path, overrides: list[str]) -> list[dict]:
    """How each of the trainings ended that were killed, in the order of their killing."""
    generator = random.Random(20)
    fill_config_store()
    store_help()
    with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
        killing = Killing(folder, overrides)
        found = [killing.kill(die_on=moment) for moment in chosen(killing.labels, generator)]
        for _ in range(NUM_TIMES):
            found.append(killing.kill(kill_after=generator.uniform(0, killing.seconds)))
    return found


def in_own_process(
    work: Callable[[Path, list[str]], list[dict]], folder: Path, overrides: list[str]
) -> list[dict]:
    """What `work` returns, in a process that is forked from this one."""
    with (
        scalings_found_once(),
        ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as processes,
    ):
        return processes.submit(work, folder, overrides).result()
