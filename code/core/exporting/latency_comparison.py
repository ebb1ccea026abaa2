"""How fast a finished experiment's model is in each way to run it, and what each way costs."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import InputError
from core.experiments.reading import find_experiment
from core.exporting.compiled import compiled
from core.exporting.exported_strips import example_strips
from core.exporting.exporting import SCHEMA_VERSION, package_versions
from core.exporting.fidelity import Fidelity
from core.exporting.formats import EndToEndModel, has_openvino, open_onnx, open_openvino, write_onnx
from core.exporting.latency import LeftOutError, latency_table, measure_latency
from core.exporting.own_strips import OwnStrips
from core.exporting.parity import NUM_STRIPS
from core.exporting.quantizing import write_quantized
from core.files.writing import write_json
from core.predicting.predictor import Predict
from core.predicting.trained_model import TrainedModel

log = logging.getLogger(__name__)

FLOAT32 = "PyTorch float32"


def compare_latency(experiment: Path, data_root: Path | None = None) -> Path:
    """Measure one strip and a batch of 16, log the table, and write it to `latency.json`.

    What computes in fewer bits is scored on the validation part, and measured only where it loses
    at most half a point of macro-F1.

    Raises:
        InputError: no completed experiment, or a `data_root` without its strips.
    """
    trained = TrainedModel(find_experiment(experiment), torch.device("cpu"))
    strips, _ = example_strips(trained.experiment, NUM_STRIPS, data_root)
    own, reason = _own_strips(trained, data_root)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact, rounded = _contenders(trained, own, strips, folder)
        costs = {} if own is None else {key: own.fidelity(ask, key) for key, ask in rounded.items()}
        for key, cost in costs.items():
            if not cost.is_kept:
                rounded[key] = _left_out(f"{cost}: more than half a point is lost")
        if own is None:
            rounded["ONNX Runtime int8"] = _left_out(reason)
        log.info("Measuring; compiling the model by torch.compile, twice, takes the longest")
        rows = measure_latency(exact | rounded, strips)
    _add_costs(rows, costs)
    threads = torch.get_num_threads()
    log.info("%d threads of torch\n%s", threads, latency_table(rows))
    path = trained.experiment.path / "latency.json"
    about = {"torch_threads": threads, "packages": package_versions()}
    write_json(path, {"schema_version": SCHEMA_VERSION, **about, "rows": rows})
    return path


def _contenders(
    trained: TrainedModel, own: OwnStrips | None, strips: np.ndarray, folder: Path
) -> tuple[dict[str, Predict], dict[str, Predict]]:
    """Those that compute in float32, PyTorch first, and those that round."""
    file, int8_file = folder / "model.onnx", folder / "model.int8.onnx"
    example = torch.from_numpy(strips[:2])
    write_onnx(EndToEndModel(trained).eval(), example, file, trained.signature.to_json())
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
    if own is not None:
        write_quantized(trained, own, int8_file)
        rounded["ONNX Runtime int8"] = open_onnx(int8_file)
        if has_openvino():
            rounded["OpenVINO int8"] = open_openvino(int8_file)
    return exact, rounded


def _own_strips(trained: TrainedModel, data_root: Path | None) -> tuple[OwnStrips | None, str]:
    """The experiment's strips, or why there are none. Raises InputError where they were named."""
    try:
        return OwnStrips(trained, data_root), ""
    except InputError as error:
        if data_root:
            raise
        return None, str(error)


def _left_out(reason: str) -> Predict:
    def ask(images: np.ndarray) -> np.ndarray:
        raise LeftOutError(reason)

    return ask


def _add_costs(rows: list[dict[str, Any]], costs: Mapping[str, Fidelity]) -> None:
    """Note macro-F1 in the rows of what rounds, and float32's in the first one's."""
    for row in rows:
        if row["contender"] in costs:
            cost = costs[row["contender"]]
            row |= {"macro_f1": cost.at_half, "fidelity": cost.record()}
        elif row["contender"] == FLOAT32 and costs:
            row["macro_f1"] = next(iter(costs.values())).at_half_float32
