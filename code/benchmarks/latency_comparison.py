"""How fast a finished experiment's model is in each way to run it, and what each way costs."""

import copy
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.latency import LeftOutError, latency_table, measure_latency
from core.errors import InputError
from core.experiments.finding import find_experiment
from core.experiments.strips import Strips
from core.exporting.example_strips import example_strips
from core.exporting.exporting import SCHEMA_VERSION, installed_packages
from core.exporting.formats import (
    EndToEndModel,
    has_openvino,
    open_onnx,
    open_openvino,
    write_onnx,
)
from core.exporting.int8 import write_quantized
from core.exporting.parity import AT_HALF, NUM_STRIPS, F1Drop, measure_f1_drop
from core.files.writing import write_json
from core.predicting.predictor import Predict
from core.predicting.trained_model import TrainedModel

log = logging.getLogger(__name__)

FLOAT32 = "PyTorch float32"
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def compare_latency(experiment: Path, data_root: Path | None = None) -> Path:
    """Measure one strip and a batch of 16, log the table, and write it to `latency.json`.

    What computes in fewer bits is scored on the validation part, and measured only where it loses
    at most half a point of macro-F1.

    Raises:
        InputError: no completed experiment, or a `data_root` without its strips.
    """
    trained = TrainedModel(find_experiment(experiment), torch.device("cpu"))
    examples, _ = example_strips(trained, NUM_STRIPS, data_root)
    strips, reason = _labelled_strips(trained, data_root)
    with tempfile.TemporaryDirectory() as name:
        exact, rounded = _contenders(trained, strips, examples, Path(name))
        drops = {}
        if strips is None:
            rounded = dict.fromkeys([*rounded, "ONNX Runtime int8"], _left_out(reason))
        else:
            drops = {k: measure_f1_drop(trained, strips, way, k) for k, way in rounded.items()}
        for key, drop in drops.items():
            if not drop.is_small:
                rounded[key] = _left_out(f"{drop}: more than half a point is lost")
        log.info("Measuring; compiling the model by torch.compile, twice, takes the longest")
        rows = measure_latency(exact | rounded, examples)
    _add_drops(rows, drops)
    threads = torch.get_num_threads()
    log.info("%d threads of torch\n%s", threads, latency_table(rows))
    path = trained.experiment.path / "latency.json"
    about = {"torch_threads": threads, "packages": installed_packages()}
    write_json(path, {"schema_version": SCHEMA_VERSION, **about, "rows": rows})
    return path


def compiled(trained: TrainedModel, cache: Path) -> Predict:
    """The same predictor, its model compiled by torch.compile at the first call of each batch size.

    What the compiler keeps goes to the folder `cache`: while it is empty, the first call shows how
    long compiling takes. Where compiling is not possible, as without a C++ compiler, the call
    raises LeftOutError.
    """
    other = copy.copy(trained)
    other.model = torch.compile(trained.model, dynamic=False)

    def predict(images: np.ndarray) -> np.ndarray:
        try:
            with _caching_in(cache):
                return other(images)
        except RuntimeError as error:  # the nearest base class of the compiler's errors
            raise LeftOutError(str(error).partition("\n")[0]) from error

    return predict


@contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(CACHE_VARIABLE)
        if before is not None:
            os.environ[CACHE_VARIABLE] = before


def _labelled_strips(trained: TrainedModel, data_root: Path | None) -> tuple[Strips | None, str]:
    """The strips to quantise and to score with, or why there are none."""
    try:
        strips = Strips(trained.experiment, data_root)
        strips.files([*strips.ids("train"), *strips.ids("validation")])
    except InputError as error:
        if data_root:
            raise
        return None, str(error)
    return strips, ""


def _contenders(
    trained: TrainedModel, strips: Strips | None, examples: np.ndarray, folder: Path
) -> tuple[dict[str, Predict], dict[str, Predict]]:
    """Those that compute in float32, PyTorch first, and those that round."""
    file, int8_file = folder / "model.onnx", folder / "model.int8.onnx"
    model, example = EndToEndModel(trained).eval(), torch.from_numpy(examples[:2])
    write_onnx(model, example, file, trained.signature.to_json())
    exact: dict[str, Predict] = {
        FLOAT32: trained,
        "PyTorch compiled": compiled(trained, folder),
        "ONNX Runtime float32": open_onnx(file),
    }
    rounded: dict[str, Predict] = {
        "PyTorch bfloat16": torch.autocast("cpu", torch.bfloat16)(trained.__call__)
    }
    if has_openvino():
        exact["OpenVINO float32"] = open_openvino(file)
        rounded["OpenVINO bfloat16"] = open_openvino(file, "bf16")
    if strips is not None:
        write_quantized(trained, strips, int8_file)
        rounded["ONNX Runtime int8"] = open_onnx(int8_file)
        if has_openvino():
            rounded["OpenVINO int8"] = open_openvino(int8_file)
    return exact, rounded


def _left_out(reason: str) -> Predict:
    def predict(images: np.ndarray) -> np.ndarray:
        raise LeftOutError(reason)

    return predict


def _add_drops(rows: list[dict[str, Any]], drops: Mapping[str, F1Drop]) -> None:
    """Note macro-F1 in the rows of what rounds, and float32's in the first one's."""
    for row in rows:
        if row["contender"] in drops:
            drop = drops[row["contender"]]
            row |= {"macro_f1": drop.macro_f1[AT_HALF], "fidelity": drop.record()}
        elif row["contender"] == FLOAT32 and drops:
            row["macro_f1"] = next(iter(drops.values())).macro_f1_float32[AT_HALF]
