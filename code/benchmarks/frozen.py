"""Epochs whose frozen stages are computed once, compared with computing them again each time."""

from pathlib import Path
from typing import Any

from benchmarks.epoch import OurEpochs, num_strips
from benchmarks.measurement import Contender, measure_with_cpu, table
from benchmarks.options import Options
from benchmarks.workload import experiment, training

ITEM = "strip"
STAGES = (2, 3)


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows and their text. The first epoch, which computes what is kept, is not counted."""
    rows = measure_with_cpu(contenders(options, folder), options.rounds)
    return rows, table(rows, ITEM)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """For each number of frozen stages: computed again in each epoch, and kept."""
    found = []
    for stages in STAGES:
        config = experiment(
            options, folder, "training.num_epochs=1000", f"model.freeze_stages={stages}"
        )
        again, kept = (f"{stages} frozen stages, {how}" for how in ("computed again", "kept"))
        for name in (again, kept):
            setup = training(config)
            if name == again:
                setup.learner.features = None
            run = OurEpochs(config, setup, folder / name)
            found.append(Contender(name, run, num_strips(setup), beside=again))
    return found
