"""One step on two images before a folder is made, so that a slip in a component is found early."""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from core.command.config import TrainConfig
from core.errors import InputError, defined_at
from core.machine.distributed import from_first, size
from core.running.component_errors import naming_the_line
from core.running.experiment_record import TrainingSetup
from core.running.out_of_memory import is_out_of_memory
from core.training.shared_batch_norm import SharedBatchNorm

_NUM_IMAGES = 2
_SHARED = (SharedBatchNorm, nn.SyncBatchNorm)


def try_step(config: TrainConfig, setup: TrainingSetup) -> None:
    """Run the model, the loss and the backward pass, and change nothing by it.

    With several processes only the first one does. Raises InputError, which names file and line,
    where a component raises an error or returns what cannot be trained. Running out of memory is
    left to the training, which says what to change.
    """
    from_first(lambda: _try_step(config, setup))


def _try_step(config: TrainConfig, setup: TrainingSetup) -> None:
    learner, task = setup.learner, setup.task
    batch = read_images(task.train_batches.dataset, min(_NUM_IMAGES, config.data.batch_size))
    try:
        batch = task.train_batches.finish(batch)
        with unchanged(learner.model, learner.objective, learner.device):
            _step(config, setup, batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise


def read_images(dataset: Dataset, num_images: int) -> dict[str, Any]:
    """A batch of images from all over a data set."""
    rows = np.linspace(0, len(dataset) - 1, num_images, dtype=int)
    return default_collate([dataset[row] for row in rows.tolist()])


def compute_alone(model: nn.Module) -> None:
    """Let this process compute a training step that the others do not compute."""
    if size() > 1:
        for module in model.modules():
            if isinstance(module, _SHARED):
                module.eval()  # in training, they wait for the other processes


def _step(config: TrainConfig, setup: TrainingSetup, batch: Mapping[str, Any]) -> None:
    learner, task = setup.learner, setup.task
    model, objective = learner.model, learner.objective
    task.begin_epoch(1)
    model.train()
    objective.train()
    model._compiled_call_impl = None  # compiling for two images would take a minute
    compute_alone(model)
    with naming_the_line(f"model {config.model['name']}", model), learner.precision.autocast():
        output = model(batch["image"].to(learner.device))
    logits = _checked_logits(output, config.model["name"], model, batch["labels"].shape)
    logits.retain_grad()
    losses = list(objective.children())
    for loss in losses:
        loss.register_forward_hook(_check_loss)
    with naming_the_line(f"loss {' or '.join(map(_name, losses))}", *losses):
        task.loss(output, batch).backward()
    for loss in losses:
        _check_params(loss)
    if logits.grad is None:
        raise _wrong_loss(losses[0], "a loss that does not depend on the logits", "compute it from")


def _checked_logits(output: Any, name: str, model: nn.Module, expected: torch.Size) -> Tensor:
    """The logits in a model's output, which are one floating number for each image and class."""
    place = f"model {name}: {defined_at(type(model), 'forward')}: forward returned"
    wanted = f"logits {tuple(expected)}, one for each image and class"
    logits = output.get("logits") if isinstance(output, Mapping) else output
    if not isinstance(logits, Tensor):
        keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
        raise InputError(
            f"{place} a {type(output).__name__}{keys}: expected {wanted}, or a dict with `logits`"
        )
    if logits.shape != expected:
        raise InputError(
            f"{place} {tuple(logits.shape)}: expected {wanted}: end in num_classes numbers, such "
            "as those of nn.Linear(width, num_classes)"
        )
    if not logits.is_floating_point():
        raise InputError(f"{place} {logits.dtype}: expected floating {wanted}")
    if not logits.requires_grad:
        raise InputError(
            f"{place} logits without a gradient: look for detach(), no_grad(), numpy(), argmax() "
            "or rounding, and leave it out"
        )
    return logits


def _check_loss(loss: nn.Module, _: Any, value: Any) -> None:
    """A hook: raise InputError unless the loss is one floating number with a gradient."""
    if not isinstance(value, Tensor):
        raise _wrong_loss(loss, f"a {type(value).__name__}", "compute it with torch from")
    if value.ndim:
        shape, remedy = tuple(value.shape), "end in reduced(values, self.reduction) in"
        raise _wrong_loss(loss, f"a tensor of shape {shape}", remedy)
    if not value.is_floating_point():
        raise _wrong_loss(loss, f"{value.dtype}", "compute it in floating numbers in")
    if not value.requires_grad:
        raise _wrong_loss(
            loss,
            "a loss without a gradient",
            "look for detach(), no_grad(), item(), a threshold or rounding of",
        )


def _check_params(loss: nn.Module) -> None:
    try:
        loss.get_params()
    except AttributeError as error:
        raise InputError(
            f"loss {_name(loss)}: {defined_at(type(loss), '__init__')}: {error}: keep each "
            "argument of the constructor as an attribute of its name"
        ) from None


def _name(loss: nn.Module) -> str:
    return getattr(loss, "registered_name", "") or type(loss).__name__


def _wrong_loss(loss: nn.Module, returned: str, remedy: str) -> InputError:
    return InputError(
        f"loss {_name(loss)}: {defined_at(type(loss), 'forward')}: forward returned {returned}: "
        f"expected one number with a gradient: {remedy} the logits"
    )


@contextmanager
def unchanged(model: nn.Module, objective: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore buffers, attributes, gradients and the state of the generators afterwards."""
    modules = [*model.modules(), *objective.modules()]
    attributes = [(vars(module), dict(vars(module))) for module in modules]
    inner = [
        (value, value.copy())
        for _, of_module in attributes
        for value in of_module.values()
        if isinstance(value, (dict, list, set))
    ]
    buffers = [(b, b.clone()) for module in modules for b in module.buffers(recurse=False)]
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the training will warn
            yield
    finally:
        for container, content in [*attributes, *inner]:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(content)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for module in (model, objective):
            module.zero_grad(set_to_none=True)
        random.setstate(python)
        np.random.set_state(numpy)
