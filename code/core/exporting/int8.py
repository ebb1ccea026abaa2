"""A model in 8-bit integers: the backbone's convolutions and matrix products, and nothing else."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from core.experiments.strips import Strips
from core.exporting.formats import EndToEndModel, write_onnx
from core.predicting.onnx_model import SIGNATURE_KEY
from core.predicting.stream import read_strip
from core.predicting.trained_model import TrainedModel

# The ranges of values settle after a few dozen strips; these are spread over the training part.
NUM_STRIPS = 64
# Not Gemm: the last layer and the gates' perceptrons take no time, and rounding shows there.
OPERATORS = ["Conv", "MatMul"]
# Modules that stay float32, by their names in PyTorch. Quantised, mask head and gates together
# cost a ConvNeXt 8 points of macro-F1 at its thresholds.
SENSITIVE = ("attention", "mask_head")
SCOPES = "pkg.torch.onnx.name_scopes"
# What follows a product computes in float32 (GELU, a sum): rounding the product to 8 bits first
# costs precision and time.
OUTPUT_NOT_ROUNDED = ["MatMul"]


def write_quantized(trained: TrainedModel, strips: Strips, file: Path) -> None:
    """Write a trained model, with the ranges that its values have on strips of the training part.

    Raises InputError for a strip that is missing or cannot be read.
    """
    signature = trained.signature
    to_json = signature.model_copy(update={"model": f"{signature.model}-int8"}).to_json()
    float32 = file.with_name(f"{file.name}.float32")
    paths = strips.files(strips.ids("train"))
    chosen = np.linspace(0, len(paths) - 1, min(NUM_STRIPS, len(paths))).round().astype(int)
    images = (read_strip(paths[index], signature)[None] for index in chosen)
    example = np.stack([read_strip(path, signature) for path in paths[:2]])
    write_onnx(EndToEndModel(trained).eval(), torch.from_numpy(example), float32, to_json)
    write_int8(float32, images, file, to_json)
    float32.unlink()


def write_int8(model: Path, strips: Iterable[np.ndarray], path: Path, signature: str) -> None:
    """Quantise the ONNX file `model` by the ranges that its values have on `strips`.

    Weights have 8 bits per output channel and activations 8 bits per tensor, as quantise and
    dequantise nodes that ONNX Runtime and OpenVINO fuse into integer kernels.

    Shape: each of strips uint8 (1, channels, height, width).
    """
    plain, prepared = path.with_suffix(".plain"), path.with_suffix(".prepared")
    content = onnx.load(model)
    # The quantizer fails on the shapes that torch notes beside the graph; it infers its own.
    del content.graph.value_info[:]
    onnx.save(content, plain)
    with _only_errors_logged():
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
            extra_options={"OpTypesToExcludeOutputQuantization": OUTPUT_NOT_ROUNDED},
        )
    plain.unlink()
    prepared.unlink()
    quantized = onnx.load(path)
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, {SIGNATURE_KEY: signature})
    onnx.save(quantized, path)


def _sensitive(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that torch exported from a sensitive module."""

    def is_sensitive(node: onnx.NodeProto) -> bool:
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get(SCOPES, "")
        return any(f".{module}" in scopes for module in SENSITIVE)

    return [node.name for node in model.graph.node if is_sensitive(node)]


def _rounding_most(model: onnx.ModelProto) -> list[str]:
    """Names of the first convolution and of the depthwise ones.

    With all in 8 bits a ConvNeXt-Tiny lost 1.3 points of macro-F1, of which 1.2 were due to these.
    A depthwise one gains no speed: its inputs and outputs are float32 anyway.
    """
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}

    def is_depthwise(node: onnx.NodeProto) -> bool:
        groups = next((entry.i for entry in node.attribute if entry.name == "group"), 1)
        return groups > 1 and groups == weights.get(node.input[1], [0])[0]

    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    depthwise = [node for node in convolutions if is_depthwise(node)]
    return [node.name for node in (*convolutions[:1], *depthwise)]


class _Strips(CalibrationDataReader):
    """Strips as the quantizer takes them."""

    def __init__(self, strips: Iterable[np.ndarray], input_name: str) -> None:
        self.strips, self.input_name = iter(strips), input_name

    def get_next(self) -> dict[str, np.ndarray] | None:
        strip = next(self.strips, None)
        return None if strip is None else {self.input_name: strip}


@contextmanager
def _only_errors_logged() -> Iterator[None]:
    """The quantizer gives advice through the root logger."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)
