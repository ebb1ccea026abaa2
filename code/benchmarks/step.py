"""One training step: forward, backward, update."""

from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.measurement import Contender, measure, table
from benchmarks.options import Options
from benchmarks.profiling import operator_shares, shares_text
from benchmarks.workload import AUTOMATIC, experiment, fastest, our_model, training
from core.errors import InputError
from core.running.experiment_record import TrainingSetup
from core.training.trainer import update

ITEM = "strip"
_AUTO = "ours, auto"
_GRADIENT = "ours, other gradient"
_MASKS = "with masks"
_CHOSEN = ("precision", "channels_last", "depthwise_gradient")


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of all contenders, and their text with the operators that take the time."""
    found = contenders(options, folder)
    rows = measure(found, options.rounds)
    ours = next(one.run for one in found if one.name == _AUTO)
    lines = [table(rows, ITEM), "", f"auto chose: {ours.computation}"]
    for contender, row in zip(found, rows, strict=True):
        if contender.name in (_AUTO, _GRADIENT):
            row["operator_shares"] = operator_shares(contender.run, options.device)
            lines.append(f"time of {contender.name}: {shares_text(row['operator_shares'])}")
    return rows, "\n".join(lines)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """Eager float32 first, then our step.

    Compared with our own step as `auto` chooses it: the other of the two weight gradients of
    depthwise convolutions; a mask head and the loss of `supervision=masks`.
    """
    # Enough for a training part of a whole batch, and for every class.
    options = replace(options, num_images=max(30, 2 * options.batch_size))
    _, chosen = fastest(experiment(options, folder, *AUTOMATIC))
    gradient = "torch" if chosen.depthwise_gradient == "matmul" else "matmul"
    ways: dict[str, dict[str, Any]] = {
        "ours, float32": dict(zip(_CHOSEN, ("float32", False, "torch"), strict=True)),
        _AUTO: {},
        "ours, other layout": {"channels_last": not chosen.channels_last},
        _GRADIENT: {"depthwise_gradient": gradient},
        _MASKS: {},
    }
    steps: dict[str, OurStep] = {}
    for name, changed in ways.items():
        runtime = {key: getattr(chosen, key) for key in _CHOSEN} | changed
        given = [f"runtime.{key}={value}" for key, value in runtime.items()]
        given += ["supervision=masks"] if name == _MASKS else []
        # Only bfloat16 on a CPU can be computed so, and only networks with depthwise convolutions.
        with suppress(InputError) if name == _GRADIENT else nullcontext():
            steps[name] = OurStep(training(experiment(options, folder, *given)))
    plain = PlainStep(options, steps[_AUTO].batch)
    found = [Contender("eager float32 NCHW", plain, options.batch_size)]
    for name, step in steps.items():
        beside = _AUTO if name in (_GRADIENT, _MASKS) else None
        found.append(Contender(name, step, options.batch_size, beside))
    return found


class PlainStep:
    """What a tutorial's loop does: three float channels, the default AdamW, the loss's number."""

    def __init__(self, options: Options, batch: dict[str, Any]) -> None:
        self.model = our_model(options).to(options.device).train()
        self.loss = nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.images = (batch["image"].float() / 255).expand(-1, 3, -1, -1).contiguous()
        self.labels = batch["labels"]

    def __call__(self) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class OurStep:
    """The trainer's own update, with one batch again and again."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.learner, self.task = setup.learner, setup.task
        self.computation = setup.computation
        self.learner.model.train()
        self.batch = {
            key: value.to(self.learner.device) if isinstance(value, torch.Tensor) else value
            for key, value in next(iter(setup.task.loaders["train"])).items()
        }

    def __call__(self) -> None:
        update(self.learner, self.task, [self.batch])
