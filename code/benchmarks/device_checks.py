"""Checks that a device trains as the CPU does; each returns what it found, in a line.

They also run on the CPU, beside itself, which shows that the checks themselves work.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.options import Options
from benchmarks.workload import experiment, training
from core.command.config import TrainConfig
from core.experiments.folder import ExperimentFolder
from core.files.checkpoint import load_checkpoint, save_checkpoint
from core.machine.interruption import Interruption
from core.running.composition import build_trainer
from core.training.trainer import Trainer, update

CPU = torch.device("cpu")
NUM_STEPS, COMPILED_STEPS = 20, 3
# Largest differences of the loss from that of the CPU in float32, of a loss near 0.4. On a CPU,
# rounding alone makes 2e-4 (another memory layout), and bfloat16 9e-4. In float16 the scaler may
# leave out the first steps.
BOUNDS = {"float32": 1e-3, "bfloat16": 1e-2, "float16": 2e-2}
_EVERYTHING = (
    "augmentation.horizontal_flip=true", "augmentation.vertical_flip=true",
    "augmentation.brightness_contrast=true", "augmentation.rotation.probability=0.3",
    "augmentation.horizontal_shift=0.5", "augmentation.blackout={probability:0.5,fill:mean}",
)  # fmt: skip


class CheckFailedError(Exception):
    """The device does not do what it should."""


class NotRunError(Exception):
    """A check that this device cannot run, and why."""


def require(holds: bool, otherwise: str) -> None:
    """Raise CheckFailedError unless it holds."""
    if not holds:
        raise CheckFailedError(otherwise)


def needs_cuda(device: torch.device) -> None:
    """Raise NotRunError on another device."""
    if device.type != "cuda":
        raise NotRunError("needs CUDA")


def small(device: torch.device, folder: Path, *overrides: str) -> TrainConfig:
    """The config of a training of 42 small strips, six batches an epoch, on the device.

    A last batch of few strips, or a higher rate, would make differences of rounding grow.
    """
    options = Options(
        **{"image_size": (64, 320), "num_images": 60, "batch_size": 7, "model": "test_resnet"},
        device=device,
    )
    usual = ("training.learning_rate=0.0003", "training.warmup_epochs=0", "data.num_workers=0")
    layout = f"runtime.channels_last={device.type == 'cuda'}"
    return experiment(options, folder, *usual, layout, *overrides)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions in whole float32: by default, cuDNN may round their inputs to TensorFloat-32."""
    kept, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = kept


def losses_of(config: TrainConfig, num_steps: int = NUM_STEPS) -> list[float]:
    """The loss of each of the first steps of a training."""
    setup = training(config)
    learner, task = setup.learner, setup.task
    learner.train()
    losses: list[torch.Tensor] = []
    for epoch in itertools.count(1):
        task.begin_epoch(epoch)
        task.train_batches.set_epoch(epoch)
        for batch in task.train_batches:
            losses += update(learner, task, [batch])[0]
            if len(losses) == num_steps:
                return torch.stack(losses).tolist()


def largest_difference(ours: list[float], others: list[float]) -> float:
    """The largest difference of two loss curves."""
    return max(abs(a - b) for a, b in zip(ours, others, strict=True))


def parity(precision: str, device: torch.device, folder: Path) -> str:
    """The losses of 20 steps, augmented on the device, beside those of the CPU in float32."""
    if precision == "float16":
        needs_cuda(device)
    given = (f"runtime.precision={precision}", "runtime.augment_on_device=true")
    with without_tf32():
        expected, found = (
            losses_of(small(on, folder, *_EVERYTHING, *more))
            for on, more in ((CPU, ()), (device, given))
        )
    difference, part = largest_difference(found, expected), NUM_STEPS // 3
    fall = (sum(found[:part]) - sum(found[-part:])) / part
    bound = BOUNDS[precision]
    text = f"losses of {NUM_STEPS} steps differ by at most {difference:.1e}, allowed {bound:.0e}"
    require(difference <= bound, text)
    require(fall > bound, f"the loss fell by {fall:.1e} only, less than the allowed difference")
    return text


def tf32(device: torch.device, folder: Path) -> str:
    """How far the default convolutions of float32 are from whole float32."""
    needs_cuda(device)
    default = losses_of(small(device, folder))
    with without_tf32():
        difference = largest_difference(default, losses_of(small(device, folder)))
    bound = BOUNDS["bfloat16"]
    text = f"with TensorFloat-32, losses differ by at most {difference:.1e}, allowed {bound:.0e}"
    require(difference <= bound, text)
    return text


def augmentation(device: torch.device, folder: Path) -> str:
    """The batches of the device's augmentation beside those of the loader's."""

    def batches(on: torch.device, way: str) -> list[dict[str, Any]]:
        config = small(on, folder, *_EVERYTHING, f"runtime.augment_on_device={way}")
        return list(training(config).task.train_batches)

    found, expected = batches(device, "true"), batches(CPU, "false")
    worst = 0
    for ours, theirs in zip(found, expected, strict=True):
        require(ours["image"].device.type == device.type, "the images are not on the device")
        change = ours["image"].cpu().int() - theirs["image"].int()
        worst = max(worst, int(change.abs().max()))
        require(torch.equal(ours["labels"].cpu(), theirs["labels"]), "labels differ")
    text = f"images differ by at most {worst} grey levels"
    require(worst <= 1, text)
    return text


def transfer(device: torch.device, folder: Path) -> str:
    """Batches from pinned memory, copied while Python goes on."""
    config = small(device, folder)
    batches = training(config).task.loaders["validation"]
    pinned = device.type == "cuda"
    for batch in batches:
        image = batch["image"]
        require(image.dtype == torch.uint8, f"images are {image.dtype}, expected uint8")
        require(image.is_pinned() == pinned, f"pinned memory: {not pinned}, expected {pinned}")
        expected = image.clone()
        moved = image.to(device, non_blocking=True) + 0
        require(torch.equal(moved.cpu(), expected), "a copied batch differs")
    return f"{len(batches)} batches of bytes, pinned: {pinned}"


def exact_resume(device: torch.device, folder: Path) -> str:
    """Two epochs at once beside one, a checkpoint, and one more: the same to the last bit."""
    given = ("runtime.deterministic=true", "model.drop_rate=0.3", "training.num_epochs=2")
    config = small(device, folder, *given, *_EVERYTHING)

    def trainer(name: str) -> Trainer:
        place = ExperimentFolder.create(folder / "resumed", name)
        return build_trainer(config, training(config), place, Interruption())

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        straight, first = trainer("straight"), trainer("first")
        straight.run_epoch()
        straight.run_epoch()
        first.run_epoch()
        file = folder / "checkpoint.pt"
        state = {**first.learner.state_dict(), **first.progress.state_dict()}
        save_checkpoint(file, {**state, "epoch_progress": None})
        state = load_checkpoint(file)
        second = trainer("second")
        second.learner.load_state_dict(state)
        second.continue_from(state)
        second.run_epoch()
    expected, found = (one.learner.state_dict() for one in (straight, second))
    for name in ("model", "optimizer"):
        require(_same(found[name], expected[name]), f"the {name} differs after a resume")
    unlike = {str(each.message) for each in caught if "deterministic" in str(each.message)}
    return "; ".join(["weights and optimizer are equal in every bit", *sorted(unlike)])


def compiled(device: torch.device, folder: Path) -> str:
    """The losses of a few compiled steps beside those of eager ones."""
    needs_cuda(device)  # on a CPU it takes minutes, and compiles other code
    with without_tf32():
        eager, fast = (
            losses_of(small(device, folder, f"runtime.compile={way}"), COMPILED_STEPS)
            for way in ("false", "true")
        )
    difference, bound = largest_difference(eager, fast), BOUNDS["float32"]
    text = f"losses of {COMPILED_STEPS} steps differ by at most {difference:.1e}, allowed {bound}"
    require(difference <= bound, text)
    return text


def _same(one: Any, other: Any) -> bool:
    """Whether two states are equal in every bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


Check = Callable[[torch.device, Path], str]

CHECKS: dict[str, Check] = {
    **{f"parity in {name}": partial(parity, name) for name in BOUNDS},
    "TensorFloat-32": tf32,
    "augmentation on the device": augmentation,
    "pinned transfer": transfer,
    "exact resume": exact_resume,
}
