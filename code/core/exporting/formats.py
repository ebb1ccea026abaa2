"""The formats that a model can be exported to: how each file is written, and opened again.

Every writer takes an `EndToEndModel`, example images, the file, and the signature as JSON.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.errors import InputError
from core.metrics.scaling import to_logits
from core.models.output import logits_of
from core.predicting.onnx_model import SIGNATURE_KEY, OnnxModel
from core.predicting.predictor import Predict
from core.predicting.trained_model import TrainedModel
from core.validation import is_installed

INPUT, OUTPUT = "images", "probabilities"
_LARGEST_LOGIT = float(to_logits(np.ones(1))[0])

Write = Callable[[nn.Module, torch.Tensor, Path, str], None]


class EndToEndModel(nn.Module):
    """A trained model from images to calibrated probabilities.

    Shape: (batch, channels, height, width) uint8 -> (batch, classes) float32
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.model, scaling = trained.model, trained.scaling
        self.is_calibrated = scaling is not None
        if scaling is not None:
            self.register_buffer("slopes", torch.tensor(scaling.slopes, dtype=torch.float32))
            intercepts = torch.tensor(scaling.intercepts, dtype=torch.float32)
            self.register_buffer("intercepts", intercepts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.model(images)).float()
        if self.is_calibrated:
            # As `Scaling`, which knows probabilities alone.
            logits = logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
            logits = logits * self.slopes + self.intercepts
        return logits.sigmoid()


@dataclass(frozen=True)
class Format:
    """The suffix of the file, what writes it, and what opens it to predict with it."""

    suffix: str
    write: Write
    open: Callable[[Path], Predict]


def write_onnx(
    model: nn.Module,
    example: torch.Tensor,
    path: Path,
    signature: str,
    outputs: Sequence[str] = (OUTPUT,),
) -> None:
    """One ONNX file, weights inside, for any number of images, the signature in its metadata.

    Raises InputError for a network that torch cannot convert.
    """
    with warnings.catch_warnings():
        # torch warns about its own parts.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            program = torch.onnx.export(
                model,
                (example,),
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            cause = error.__cause__ or error
            why = f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"
            raise InputError(
                f"torch cannot convert this network to ONNX ({why}): choose another backbone "
                "or, for a classifier, give --format torchscript"
            ) from error
    program.model.metadata_props[SIGNATURE_KEY] = signature
    program.save(path)


def open_onnx(path: Path) -> Predict:
    """As code/predict.py opens it."""
    return OnnxModel(path, str(path))


def write_torchscript(model: nn.Module, example: torch.Tensor, path: Path, signature: str) -> None:
    """A traced model for torch.jit.load in C++ or Python, the signature among its extra files."""
    with warnings.catch_warnings():
        # torch.jit is kept for such files but no longer developed. Tracing warns about each plain
        # number that it takes from a shape; parity is measured at another batch size.
        warnings.simplefilter("ignore")
        with torch.no_grad():
            traced = torch.jit.trace(model, example)
        torch.jit.save(traced, path, _extra_files={SIGNATURE_KEY: signature})


def open_torchscript(path: Path) -> Predict:
    """The file alone, without the code of this project."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(path)

    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        return loaded(torch.from_numpy(images)).numpy()

    return predict


def write_openvino(model: nn.Module, example: torch.Tensor, path: Path, signature: str) -> None:
    """An XML file with a .bin beside it, by way of ONNX; the signature under `rt_info`.

    Raises InputError where openvino is not installed.
    """
    openvino = _openvino()
    onnx_file = path.with_suffix(".onnx")
    write_onnx(model, example, onnx_file, signature)
    converted = openvino.convert_model(onnx_file)
    converted.set_rt_info(signature, [SIGNATURE_KEY])
    openvino.save_model(converted, path, compress_to_fp16=False)
    onnx_file.unlink()


def open_openvino(path: Path, precision: str = "f32") -> Predict:
    """OpenVINO on the processor, with as many threads as torch has.

    The default is as precise as PyTorch; OpenVINO itself would choose less.
    """
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = _openvino().Core().compile_model(path, "CPU", options)
    return lambda images: compiled(images)[0]


def has_openvino() -> bool:
    """Whether the optional package openvino is installed."""
    return is_installed("openvino")


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
