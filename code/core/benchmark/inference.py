"""Prediction: a batch of strips to logits, no gradients."""

from pathlib import Path

import torch
from torch import nn

from core.benchmark.measurement import Contender
from core.benchmark.options import Options, random_images
from core.benchmark.step import our_model
from core.training.precision import FLOAT32, Precision, choose_precision

ITEM = "strip"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """Eager float32 on three float channels first; then grey bytes, and native precision."""
    images, _ = random_images(options)
    model = our_model(options).to(options.device).eval()
    three = (images.float() / 255).expand(-1, 3, -1, -1).contiguous()
    native = choose_precision("auto", options.device)
    plain = Precision("float32", options.device.type)
    last = our_model(options).to(options.device, memory_format=torch.channels_last).eval()
    ways = {
        "eager float32, three channels": Forward(model, three, FLOAT32),
        "ours, float32, grey": Forward(model, images, plain),
        f"ours, {native.name}, grey": Forward(model, images, native),
        f"ours, {native.name}, grey, channels last": Forward(last, images, native),
    }
    return [Contender(name, forward, options.batch_size) for name, forward in ways.items()]


class Forward:
    """One forward pass."""

    def __init__(self, model: nn.Module, images: torch.Tensor, precision: Precision) -> None:
        self.model, self.images, self.precision = model, images, precision

    @torch.no_grad()
    def __call__(self) -> None:
        with self.precision.autocast():
            self.model(self.images)
