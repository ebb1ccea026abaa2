"""The formats that a model can be exported to: how each is written, and asked again.

Every writer takes an `EndToEndModel`, example images, the file, and the signature as JSON.
"""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.errors import InputError
from core.models.output import logits_of
from core.predicting.onnx_model import SIGNATURE_KEY, OnnxModel
from core.predicting.predictor import Predict
from core.predicting.trained_model import TrainedModel

INPUT, OUTPUT = "images", "probabilities"

Write = Callable[[nn.Module, torch.Tensor, Path, str], None]


class EndToEndModel(nn.Module):
    """A trained model from uint8 images to calibrated probabilities.

    Shape: (batch, channels, height, width) uint8 -> (batch, classes) float32
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.model = trained.model
        scaling = trained.scaling
        self.is_calibrated = scaling is not None
        if scaling is not None:
            self.register_buffer("slopes", torch.tensor(scaling.slopes, dtype=torch.float32))
            intercepts = torch.tensor(scaling.intercepts, dtype=torch.float32)
            self.register_buffer("intercepts", intercepts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.model(images)).float()
        if self.is_calibrated:
            logits = logits * self.slopes + self.intercepts
        return logits.sigmoid()


@dataclass(frozen=True)
class Format:
    """One format: the suffix of its file, its writer, and what opens the file and asks it."""

    suffix: str
    write: Write
    open: Callable[[Path], Predict]


def write_onnx(graph: nn.Module, example: torch.Tensor, path: Path, signature: str) -> None:
    """One ONNX file, weights inside, the number of images free, the signature in its metadata."""
    with warnings.catch_warnings():
        # torch warns of its own parts.
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props[SIGNATURE_KEY] = signature
    program.save(path)


def open_onnx(path: Path) -> Predict:
    """As code/predict.py opens it."""
    return OnnxModel(path, str(path))


def write_torchscript(graph: nn.Module, example: torch.Tensor, path: Path, signature: str) -> None:
    """A traced graph for torch.jit.load in C++ or Python, the signature among its extra files."""
    with warnings.catch_warnings():
        # torch.jit is kept for such files and no longer developed; tracing tells of each plain
        # number that it takes from a shape, and parity is measured at another batch size.
        warnings.simplefilter("ignore")
        with torch.no_grad():
            traced = torch.jit.trace(graph, example)
        torch.jit.save(traced, path, _extra_files={SIGNATURE_KEY: signature})


def open_torchscript(path: Path) -> Predict:
    """The file alone: nothing of this project takes part."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(path)

    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        return loaded(torch.from_numpy(images)).numpy()

    return predict


def write_openvino(graph: nn.Module, example: torch.Tensor, path: Path, signature: str) -> None:
    """An XML file with a .bin beside it, by way of ONNX; the signature under `rt_info`.

    Raises:
        InputError: openvino is not installed.
    """
    openvino = _openvino()
    onnx_file = path.with_suffix(".onnx")
    write_onnx(graph, example, onnx_file, signature)
    model = openvino.convert_model(onnx_file)
    model.set_rt_info(signature, [SIGNATURE_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
    onnx_file.unlink()


def open_openvino(path: Path, precision: str = "f32") -> Predict:
    """OpenVINO on the processor, with as many threads as torch has.

    By default as precise as PyTorch, not its own choice of less.
    """
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = _openvino().Core().compile_model(path, "CPU", options)
    return lambda images: compiled(images)[0]


def has_openvino() -> bool:
    """Whether the optional package openvino is installed."""
    return importlib.util.find_spec("openvino") is not None


def _openvino():
    if not has_openvino():
        raise InputError(
            "--format openvino: the package openvino is not installed: pip install openvino, or "
            "give --format onnx"
        )
    import openvino

    return openvino


FORMATS = {
    "onnx": Format(".onnx", write_onnx, open_onnx),
    "torchscript": Format(".pt", write_torchscript, open_torchscript),
    "openvino": Format(".xml", write_openvino, open_openvino),
}
