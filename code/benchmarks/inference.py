"""Prediction: a batch of strips to logits, no gradients."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from benchmarks.measurement import Contender
from benchmarks.options import Options, random_images
from benchmarks.step import our_model
from core.exporting.formats import INPUT, has_openvino, open_openvino, write_onnx
from core.exporting.int8 import write_int8
from core.training.precision import FLOAT32, Precision, choose_precision

ITEM = "strip"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """Eager float32 on three float channels first; grey bytes, native precision; exported ones.

    What they answer is compared by `export.py --latency`, on a trained model.
    """
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
    if options.device.type == "cpu":
        ways |= exported(model, images, folder)
    return [Contender(name, forward, options.batch_size) for name, forward in ways.items()]


class Forward:
    """One forward pass."""

    def __init__(self, model: nn.Module, images: torch.Tensor, precision: Precision) -> None:
        self.model, self.images, self.precision = model, images, precision

    @torch.no_grad()
    def __call__(self) -> None:
        with self.precision.autocast():
            self.model(self.images)


def exported(
    model: nn.Module, images: torch.Tensor, folder: Path
) -> dict[str, Callable[[], object]]:
    """ONNX Runtime and, where installed, OpenVINO, in float32 and in 8-bit integers.

    With as many threads as torch has.
    """
    strips = images.numpy()
    files = {name: folder / f"{name}.onnx" for name in ("float32", "int8")}
    # Of two strips at least: a batch of one would be taken for a fixed size.
    write_onnx(model, images[:1].repeat(2, 1, 1, 1), files["float32"], "")
    write_int8(files["float32"], [strips[:1]], files["int8"], "")
    ways: dict[str, Callable[[], object]] = {
        f"ours, ONNX Runtime, {name}": Session(file, strips) for name, file in files.items()
    }
    if has_openvino():
        for name, file in files.items():
            ways[f"ours, OpenVINO, {name}"] = partial(open_openvino(file), strips)
    return ways


class Session:
    """One call of ONNX Runtime."""

    def __init__(self, file: Path, strips: np.ndarray) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait in a loop would take their time from the other contenders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self.strips = strips

    def __call__(self) -> None:
        self.session.run(None, {INPUT: self.strips})
