"""From a finished experiment to a file that runs elsewhere, measured against PyTorch."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.experiments.reading import find_experiment
from core.exporting.exported_strips import example_strips
from core.exporting.formats import FORMATS, EndToEndModel
from core.exporting.own_strips import OwnStrips
from core.exporting.parity import NUM_STRIPS, check_parity, measure_parity
from core.exporting.quantizing import write_quantized
from core.files.writing import replacing, write_json
from core.predicting.bundle import MODEL, PARITY, write_bundle
from core.predicting.onnx_model import OnnxModel
from core.predicting.signature import Signature
from core.predicting.trained_model import TrainedModel

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino")
INT8, INT8_SUFFIX = "int8", ".int8.onnx"
FORMAT_NAMES = (*FORMATS, INT8)


def export(experiment: Path, format_name: str, output: Path | None, data_root: Path | None) -> Path:
    """Export the model of an experiment; by default to `model.<suffix>` in its folder.

    Parity is measured on 32 strips and written to `<output>.parity.json`, for `int8` beside the
    macro-F1 of the validation part.

    Raises:
        InputError: no completed experiment, a format that is not installed, no strips to measure
            on, an export whose answers differ by more than 1e-4, or an `int8` one that loses more
            than half a point of macro-F1: then nothing is written.
    """
    suffix = INT8_SUFFIX if format_name == INT8 else FORMATS[format_name].suffix
    folder = find_experiment(experiment)
    path = output or folder / f"model{suffix}"
    if not path.name.endswith(suffix) or path.name == suffix or path.is_dir():
        raise InputError(f"--output {path}: expected the name of a file that ends in {suffix}")
    trained = TrainedModel(folder, torch.device("cpu"))
    with _written_whole(path.parent) as scratch:
        if format_name == INT8:
            write_int8_format(trained, scratch / path.name, data_root)
        else:
            write_format(trained, format_name, scratch / path.name, data_root)
    return path


def write_format(
    trained: TrainedModel, format_name: str, file: Path, data_root: Path | None
) -> None:
    """Write the file and, beside it, its parity. Raises as `export` does."""
    kind, signature = FORMATS[format_name], trained.signature
    strips, where_from = example_strips(trained.experiment, NUM_STRIPS, data_root)
    graph = EndToEndModel(trained).eval()
    kind.write(graph, torch.from_numpy(strips[:2]), file, signature.to_json())
    parity = measure_parity(trained, kind.open(file), strips, signature.class_names)
    check_parity(parity, f"{format_name} export of {trained.experiment.path}")
    _write_parity(file, format_name, signature, {"strips": where_from, **parity})


def write_int8_format(trained: TrainedModel, file: Path, data_root: Path | None) -> None:
    """Write the file, its parity and its macro-F1. Raises as `export` does."""
    own = OwnStrips(trained, data_root)
    write_quantized(trained, own, file)
    model = OnnxModel(file, str(file))
    fidelity = own.fidelity(model, INT8)
    if not fidelity.is_kept:
        raise InputError(
            f"--format int8: {fidelity}: more than half a point is lost, so nothing was written; "
            "give --format onnx"
        )
    strips, where_from = example_strips(trained.experiment, NUM_STRIPS, data_root)
    parity = measure_parity(trained, model, strips, trained.signature.class_names)
    parity |= {"strips": where_from, "tolerance": None, "fidelity": fidelity.record()}
    log.info("int8: %s", fidelity)
    _write_parity(file, INT8, model.signature, parity)


def _write_parity(
    file: Path, format_name: str, signature: Signature, parity: dict[str, Any]
) -> None:
    report = {
        "schema_version": SCHEMA_VERSION,
        "model": signature.model,
        "format": format_name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        **parity,
        "packages": package_versions(),
    }
    write_json(file.with_name(f"{file.name}.parity.json"), report)
    log.info(
        "%s: at most %.1e from PyTorch on %d strips (%s)",
        format_name, parity["max_difference"], parity["num_strips"], parity["strips"],
    )  # fmt: skip


def pack(experiment: Path, bundle: Path, card: Path, data_root: Path | None = None) -> Path:
    """Pack the ONNX export of an experiment with config, thresholds, `card` and checksums.

    Raises:
        InputError: what `export` refuses, or a name that does not end in .zip.
    """
    if bundle.suffix != ".zip" or bundle.is_dir():
        raise InputError(f"--bundle {bundle}: expected the name of a file that ends in .zip")
    trained = TrainedModel(find_experiment(experiment), torch.device("cpu"))
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


@contextmanager
def _written_whole(parent: Path) -> Iterator[Path]:
    """A folder whose files go to `parent` once all of them are there, and else nowhere."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=parent, prefix=".export")
    except OSError as error:
        raise InputError(f"{parent}: cannot be written to ({error.strerror})") from None
    with scratch as name:
        folder = Path(name)
        yield folder
        for file in sorted(folder.iterdir()):
            with replacing(parent / file.name) as temporary:
                shutil.move(file, temporary)


def package_versions() -> dict[str, str]:
    """Of what exports and runs models, as far as installed."""
    installed = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
