"""From a finished experiment to a file that runs elsewhere, measured against PyTorch."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.analysis.experiments import find_experiment
from core.analysis.model_card import write_model_card
from core.errors import InputError
from core.export.compiled import compiled
from core.export.formats import FORMATS, has_openvino, open_openvino
from core.export.latency import latency_table, measure_latency
from core.export.parity import NUM_STRIPS, check_parity, measure_parity
from core.exported_strips import example_strips
from core.files import replacing, write_json
from core.inference.bundle import MODEL, PARITY, write_bundle
from core.trained_model import TrainedModel, WholeGraph

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino")


def export(experiment: Path, format_name: str, output: Path | None, data_root: Path | None) -> Path:
    """Export the model of an experiment; by default to `model.<suffix>` in its folder.

    Parity is measured on 32 strips and written to `<output>.parity.json`.

    Raises:
        InputError: no completed experiment, a format that is not installed, no strips to measure
            on, or an export whose answers differ by more than 1e-4: then nothing is written.
    """
    suffix = FORMATS[format_name].suffix
    folder = find_experiment(experiment)
    path = output or folder / f"model{suffix}"
    if path.suffix != suffix or path.is_dir():
        raise InputError(f"--output {path}: expected the name of a file that ends in {suffix}")
    trained = TrainedModel(folder, torch.device("cpu"))
    with _written_whole(path.parent) as scratch:
        write_format(trained, format_name, scratch / path.name, data_root)
    write_model_card(folder)
    return path


def write_format(
    trained: TrainedModel, format_name: str, file: Path, data_root: Path | None
) -> dict[str, Any]:
    """Write the file and, beside it, its parity, which is returned. Raises as `export` does."""
    kind, signature = FORMATS[format_name], trained.signature
    strips, where_from = example_strips(trained.experiment, NUM_STRIPS, data_root)
    graph = WholeGraph(trained).eval()
    kind.write(graph, torch.from_numpy(strips[:2]), file, signature.to_json())
    parity = measure_parity(trained, kind.open(file), strips, signature.class_names)
    check_parity(parity, f"{format_name} export of {trained.experiment.path}")
    report = {
        "schema_version": SCHEMA_VERSION,
        "model": signature.model,
        "format": format_name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "strips": where_from,
        **parity,
        "packages": _versions(),
    }
    write_json(file.with_name(f"{file.name}.parity.json"), report)
    log.info(
        "%s: at most %.1e from PyTorch on %d strips (%s)",
        format_name, parity["max_difference"], len(strips), where_from,
    )  # fmt: skip
    return report


def pack(experiment: Path, bundle: Path, data_root: Path | None = None) -> Path:
    """Pack the ONNX export of an experiment with config, thresholds, card and checksums.

    Raises:
        InputError: what `export` refuses, or a name that does not end in .zip.
    """
    if bundle.suffix != ".zip" or bundle.is_dir():
        raise InputError(f"--bundle {bundle}: expected the name of a file that ends in .zip")
    trained = TrainedModel(find_experiment(experiment), torch.device("cpu"))
    card = write_model_card(trained.experiment.path)
    with _written_whole(bundle.parent) as folder:
        model = folder / MODEL
        write_format(trained, "onnx", model, data_root)
        parity = model.with_name(PARITY)
        members = {
            MODEL: model.read_bytes(),
            PARITY: parity.read_bytes(),
            "config.yaml": (trained.experiment.path / "config.yaml").read_bytes(),
            card.name: card.read_bytes(),
        }
        write_bundle(folder / bundle.name, members, trained.signature)
        model.unlink()
        parity.unlink()
    return bundle


def compare_latency(experiment: Path, data_root: Path | None = None) -> Path:
    """Measure one strip and a batch of 16, log the table, and write it to `latency.json`."""
    trained = TrainedModel(find_experiment(experiment), torch.device("cpu"))
    strips, _ = example_strips(trained.experiment, NUM_STRIPS, data_root)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx = FORMATS["onnx"]
        signature = trained.signature.to_json()
        onnx.write(WholeGraph(trained).eval(), torch.from_numpy(strips[:2]), file, signature)
        contenders: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "PyTorch float32": trained,
            "PyTorch compiled": compiled(trained, Path(folder)),
            "PyTorch bfloat16": torch.autocast("cpu", torch.bfloat16)(trained.__call__),
            "ONNX Runtime float32": onnx.open(file),
        }
        if has_openvino():
            contenders["OpenVINO float32"] = open_openvino(file)
            contenders["OpenVINO bfloat16"] = open_openvino(file, "bf16")
        log.info("Measuring; compiling the model by torch.compile, twice, takes the longest")
        rows = measure_latency(contenders, strips)
    log.info("%d threads of torch\n%s", torch.get_num_threads(), latency_table(rows))
    path = trained.experiment.path / "latency.json"
    about = {"torch_threads": torch.get_num_threads(), "packages": _versions()}
    write_json(path, {"schema_version": SCHEMA_VERSION, **about, "rows": rows})
    return path


@contextmanager
def _written_whole(parent: Path) -> Iterator[Path]:
    """A folder whose files go to `parent` once all of them are there, and else nowhere."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=parent, prefix=".export")
    except OSError as error:
        raise InputError(f"--output: {parent} cannot be written to ({error.strerror})") from None
    with scratch as name:
        folder = Path(name)
        yield folder
        for file in sorted(folder.iterdir()):
            with replacing(parent / file.name) as temporary:
                shutil.move(file, temporary)


def _versions() -> dict[str, str]:
    installed = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
