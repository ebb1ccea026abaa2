"""Prediction: a batch of strips to logits, no gradients."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.workload import our_model
from core.exporting.formats import INPUT, has_openvino, open_openvino, write_onnx
from core.exporting.int8 import write_int8
from core.training.precision import FLOAT32, Precision, choose_precision

ITEM = "strip"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """Eager float32 on three float channels first; then grey bytes, native precision, exports.

    `export.py --latency` compares what they answer, on a trained model.
    """
    model = our_model(options).to(options.device).eval()
    shape = (options.batch_size, 1, *options.image_size)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = torch.from_numpy(noise).to(options.device)
    ways = eager(model, images)
    if options.device.type == "cpu":
        ways |= exported(model, images, folder)
    return [Contender(name, run, options.batch_size) for name, run in ways.items()]


def eager(model: nn.Module, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    """PyTorch itself. Shape: images uint8 (batch, 1, H, W)."""
    native = choose_precision("auto", images.device)
    plain = Precision("float32", images.device.type)
    three = (images.float() / 255).expand(-1, 3, -1, -1).contiguous()
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    return {
        "eager float32, three channels": partial(forward, model, three, FLOAT32),
        "ours, float32, grey": partial(forward, model, images, plain),
        f"ours, {native.name}, grey": partial(forward, model, images, native),
        f"ours, {native.name}, grey, channels last": partial(forward, last, images, native),
    }


@torch.no_grad()
def forward(model: nn.Module, images: torch.Tensor, precision: Precision) -> torch.Tensor:
    """One forward pass."""
    with precision.autocast():
        return model(images)


def exported(
    model: nn.Module, images: torch.Tensor, folder: Path
) -> dict[str, Callable[[], object]]:
    """ONNX Runtime and, where installed, OpenVINO, in float32 and in 8-bit integers.

    All with as many threads as torch.
    """
    strips = images.numpy()
    files = {name: folder / f"{name}.onnx" for name in ("float32", "int8")}
    # Two strips at least: the size of a batch of one would be taken as fixed.
    write_onnx(model, images[:1].repeat(2, 1, 1, 1), files["float32"], "")
    write_int8(files["float32"], [strips[:1]], files["int8"], "")
    ways: dict[str, Callable[[], object]] = {
        f"ours, ONNX Runtime, {name}": partial(onnx_session(file).run, None, {INPUT: strips})
        for name, file in files.items()
    }
    if has_openvino():
        for name, file in files.items():
            ways[f"ours, OpenVINO, {name}"] = partial(open_openvino(file), strips)
    return ways


def onnx_session(file: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime; while idle, its threads leave the processor to the other contenders."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
