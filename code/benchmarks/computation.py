"""Layouts and precisions of networks, in turn, and which of them `auto` chooses."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.options import Options
from benchmarks.workload import NUM_TRAINING_IMAGES, experiment, training
from core.analysis.text_tables import aligned
from core.autotuning.budget import FEWEST_IMAGES, seconds_of
from core.command.config import TrainConfig
from core.running.autotuning import choose
from core.running.computation import Computation, step_contenders
from core.running.experiment_record import TrainingSetup
from core.running.step_trial import StepTrial
from core.running.trial_step import read_images
from core.training.precision import Precision

WAYS = {
    "NCHW float32": Computation("float32", False),
    "channels last float32": Computation("float32", True),
    "bfloat16": Computation("bfloat16", False),
}
# What takes longer than this many times the fastest has its first turn only.
_HOPELESS = 3.0


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for each network: milliseconds a strip of each way, and what auto chose."""
    rows = [_row(replace(options, model=name), folder) for name in options.models]
    names = list(dict.fromkeys(name for row in rows for name in row["steps"]))
    header = ["network", *names, "auto chose", "times as long as the best"]
    lines = [header, *(_line(row, names) for row in rows)]
    text = "\n".join(aligned(lines))
    return rows, f"milliseconds a strip of a training step (forward alone)\n\n{text}"


def _row(options: Options, folder: Path) -> dict[str, Any]:
    options = replace(options, num_images=max(30, 2 * options.batch_size))
    automatic = ["runtime.precision=auto", "runtime.channels_last=auto"]
    config = experiment(options, folder / options.model, *automatic)
    setup = training(config)
    chosen, choice = choose(config, setup, NUM_TRAINING_IMAGES)
    batch = read_images(StepTrial(setup).dataset, options.batch_size)
    trial, ways = StepTrial(setup), _ways(config, setup)
    with trial.unchanged():
        steps = _in_turn({name: trial.run(way, batch) for name, way in ways.items()}, options)
    forwards = _in_turn(_forwards(setup, batch["image"], ways), options)
    fixed = next(name for name, way in ways.items() if way == replace(chosen, num_workers=0))
    ratio = steps[fixed] / min(steps.values())
    return {"name": options.model, "steps": steps, "forwards": forwards,
            "chosen": fixed, "ratio": ratio, "choice": choice}  # fmt: skip


def _ways(config: TrainConfig, setup: TrainingSetup) -> dict[str, Computation]:
    """Those of every processor, and what else `auto` may choose on this one."""
    usual, device = replace(setup.computation, num_workers=0), setup.learner.device
    others = step_contenders(config, usual, device, setup.learner.model)
    return WAYS | {str(way): way for way in others if way not in WAYS.values()}


def _in_turn(runs: dict[str, Callable[[], float]], options: Options) -> dict[str, float]:
    """Median seconds per strip; the first turn of each is not counted, if it has others."""
    first = {name: run() for name, run in runs.items()}
    in_it = [name for name in runs if first[name] < _HOPELESS * min(first.values())]
    taken: dict[str, list[float]] = {name: [] if name in in_it else [first[name]] for name in runs}
    for _ in range(options.rounds):
        for name in in_it:
            taken[name].append(runs[name]())
    return {name: median(seconds) / options.batch_size for name, seconds in taken.items()}


def _forwards(
    setup: TrainingSetup, images: torch.Tensor, ways: Mapping[str, Computation]
) -> dict[str, Callable[[], float]]:
    model, device = setup.learner.model.eval(), setup.learner.device
    last, images = copy.deepcopy(model).to(memory_format=torch.channels_last), images.to(device)
    runs = {}
    for name, way in ways.items():
        used, precision = (
            last if way.channels_last else model,
            Precision(way.precision, device.type),
        )
        batches = chain([images[:FEWEST_IMAGES]], repeat(images))
        runs[name] = partial(_forward_seconds, used, batches, precision, len(images))
    return runs


def _forward_seconds(
    model: torch.nn.Module, batches: Iterator[torch.Tensor], precision: Precision, size: int
) -> float:
    """The seconds of a batch of `size`; those of the first one, which is smaller, are scaled."""
    batch = next(batches)
    work = partial(_forward, model, batch, precision)
    return seconds_of(work, batch.device) * size / len(batch)


@torch.no_grad()
def _forward(model: torch.nn.Module, images: torch.Tensor, precision: Precision) -> None:
    with precision.autocast():
        model(images)


def _line(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    times = [
        f"{1000 * row['steps'][name]:.0f} ({1000 * row['forwards'][name]:.0f})"
        if name in row["steps"]
        else "-"
        for name in names
    ]
    return [row["name"], *times, row["chosen"], f"{row['ratio']:.2f}"]
