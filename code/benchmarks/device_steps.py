"""The steps that a device is measured by: training, inference, and a step like timm's."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import core.machine.torchvision_ops  # noqa: F401

import torch
from timm.loss import BinaryCrossEntropy
from timm.optim import create_optimizer_v2

from benchmarks.inference import forward
from benchmarks.options import Options
from benchmarks.workload import experiment, our_model, training
from core.command.config import TrainConfig
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips
from core.training.precision import Precision, has_bfloat16
from core.training.trainer import update


def training_config(options: Options, folder: Path, batch_size: int, *others: str) -> TrainConfig:
    """A training of `num_images` generated strips, unless others say so, unaugmented."""
    folder, cores = folder / "speed", os.cpu_count() or 1
    # More processes than elsewhere make them: there are minutes for all.
    strips = StripSettings(options.num_images, options.image_size, class_shares="flat")
    ensure_strips(folder / "strips", strips, max(1, min(cores, options.num_images // 40)))
    usual = [f"runtime.precision={native(options.device).name}", f"data.batch_size={batch_size}"]
    usual += [f"runtime.channels_last={options.device.type == 'cuda'}", "data.cache=disk"]
    return experiment(options, folder, *usual, "data.group_duplicates=false", *others)


def native(device: torch.device) -> Precision:
    """bfloat16, or float32 where it would be emulated."""
    return Precision("bfloat16" if has_bfloat16(device) else "float32", device.type)


def noise(options: Options, batch_size: int) -> torch.Tensor:
    """Grey strips of random bytes on the device, uint8 (batch, 1, H, W)."""
    shape = (batch_size, 1, *options.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=options.device)


def our_step(
    options: Options, folder: Path, batch_size: int, compile: bool = False
) -> Callable[[], object]:
    """The trainer's own update of one batch on the device."""
    way = f"runtime.compile={str(compile).lower()}"
    setup = training(training_config(options, folder, 4, way))
    setup.learner.train()
    images = noise(options, batch_size)
    batch = {
        "image": images,
        "labels": (torch.rand(batch_size, 4, device=images.device) < 0.2).float(),
        "image_id": [str(number) for number in range(batch_size)],
    }
    setup.learner.features = None
    return partial(update, setup.learner, setup.task, [batch])


def our_forward(
    options: Options, folder: Path, batch_size: int, compile: bool = False
) -> Callable[[], object]:
    """The forward pass of a batch on the device, as in a prediction."""
    layout = torch.channels_last if options.device.type == "cuda" else torch.preserve_format
    model = our_model(options).to(options.device, memory_format=layout).eval()
    if compile:
        model.compile()
    return partial(forward, model, noise(options, batch_size), native(options.device))


def timm_step(options: Options, batch_size: int, is_mixed: bool) -> Callable[[], object]:
    """The step of timm's train.py, by default or with `--amp --amp-dtype bfloat16
    --channels-last`, on three float channels.
    """
    model = our_model(options).to(options.device).train()
    images = (noise(options, batch_size).float() / 255).expand(-1, 3, -1, -1).contiguous()
    if is_mixed:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    labels = (torch.rand(batch_size, 4, device=options.device) < 0.2).float()
    optimizer = create_optimizer_v2(model, "sgd", lr=0.001, weight_decay=2e-5)
    loss_of = BinaryCrossEntropy(smoothing=0.0)
    precision = Precision("bfloat16" if is_mixed else "float32", options.device.type)

    def step() -> None:
        with precision.autocast():
            logits = model(images)
            loss = loss_of(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
