"""An ONNX model in 8-bit integers: the backbone's convolutions and matrix products, no more."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from core.predicting.onnx_model import SIGNATURE_KEY

# Not Gemm: the last layer and the gates' perceptrons take no time, and round where it shows.
OPERATORS = ["Conv", "MatMul"]
# Parts of a model that stay float32, by their names in PyTorch. Quantised, mask head and gates
# together cost a ConvNeXt 8 points of macro-F1 at its thresholds.
SENSITIVE = ("attention", "mask_head")
SCOPES = "pkg.torch.onnx.name_scopes"
# A product's result is read by what computes in float32 (GELU, a sum): to round it to 8 bits
# first costs precision and time.
ROUNDED_NO_MORE = ["MatMul"]


def write_int8(model: Path, strips: Iterable[np.ndarray], path: Path, signature: str) -> None:
    """Quantise the ONNX file `model` by the ranges that its values have on `strips`.

    Weights in 8 bits per output channel, activations in 8 bits per tensor, as quantise and
    dequantise nodes that ONNX Runtime and OpenVINO fuse into integer kernels.

    Shape: each of strips uint8 (1, channels, height, width).
    """
    plain, prepared = path.with_suffix(".plain"), path.with_suffix(".prepared")
    content = onnx.load(model)
    # What torch notes of shapes beside the graph, the quantizer takes amiss; it infers its own.
    del content.graph.value_info[:]
    onnx.save(content, plain)
    with _silenced():
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        in_float32 = [*_sensitive(content), *_rounding_most(onnx.load(prepared))]
        quantize_static(
            prepared,
            path,
            _Strips(strips, content.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=in_float32,
            extra_options={"OpTypesToExcludeOutputQuantization": ROUNDED_NO_MORE},
        )
    plain.unlink()
    prepared.unlink()
    _set_signature(path, signature)


def _sensitive(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that torch exported from a sensitive part."""
    found = []
    for node in model.graph.node:
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get(SCOPES, "")
        if any(f".{part}" in scopes for part in SENSITIVE):
            found.append(node.name)
    return found


def _rounding_most(model: onnx.ModelProto) -> list[str]:
    """Names of the first convolution and of those with one filter a channel.

    Of the 1.3 points of macro-F1 that a ConvNeXt-Tiny lost with them in 8 bits it lost 1.2 to
    these. A depthwise one is no faster so: what it reads and writes is in float32 anyway.
    """
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    found = [node.name for node in convolutions[:1]]
    for node in convolutions:
        groups = next((entry.i for entry in node.attribute if entry.name == "group"), 1)
        if groups > 1 and groups == weights.get(node.input[1], [0])[0]:
            found.append(node.name)
    return found


class _Strips(CalibrationDataReader):
    """Strips in the form that the quantizer asks for them."""

    def __init__(self, strips: Iterable[np.ndarray], input_name: str) -> None:
        self.strips, self.input_name = iter(strips), input_name

    def get_next(self) -> dict[str, np.ndarray] | None:
        strip = next(self.strips, None)
        return None if strip is None else {self.input_name: strip}


def _set_signature(path: Path, signature: str) -> None:
    quantized = onnx.load(path)
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, {SIGNATURE_KEY: signature})
    onnx.save(quantized, path)


@contextmanager
def _silenced() -> Iterator[None]:
    """Without the advice that the quantizer logs by the root logger."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)
