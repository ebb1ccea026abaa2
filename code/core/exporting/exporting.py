"""From a finished experiment to a file that runs elsewhere, compared with PyTorch."""

import hashlib
import logging
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.experiments.environment import package_versions
from core.experiments.finding import find_experiment
from core.experiments.reading import RESULTS_FILE
from core.experiments.strips import Strips
from core.exporting.example_strips import example_strips
from core.exporting.formats import FORMATS, EndToEndModel
from core.exporting.int8 import write_quantized
from core.exporting.parity import NUM_STRIPS, check_parity, measure_f1_drop, measure_parity
from core.files.overwriting import check_file_name, check_replaceable, has_keys
from core.files.reading import MEBIBYTE, read_bytes, read_json
from core.files.writing import replacing, write_json
from core.machine.interruption import handling_signals
from core.predicting.bundle import CARD, CONFIG, MODEL, PARITY, is_bundle, write_bundle
from core.predicting.onnx_model import OnnxModel
from core.predicting.trained_model import MODEL_FILE, TrainedModel

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino")
INT8, INT8_SUFFIX = "int8", ".int8.onnx"


def export(
    experiment: Path,
    format_name: str,
    output: Path | None,
    data_root: Path | None,
    force: bool = False,
) -> Path:
    """Export the model of an experiment; by default to `model.<suffix>` in its folder.

    Parity is measured on 32 strips and written to `<output>.parity.json`, for `int8` with the
    macro-F1 on the validation part. Files that are no export are replaced only with `force`.

    Raises:
        InputError: no completed experiment, a format that is not installed, strips that are
            missing, an export whose probabilities differ by more than 1e-4, or an `int8` one that
            loses more than half a point of macro-F1: then nothing is written.
    """
    suffix = INT8_SUFFIX if format_name == INT8 else FORMATS[format_name].suffix
    folder = find_experiment(experiment)
    path = output or folder / f"model{suffix}"
    if not path.name.endswith(suffix) or path.name == suffix or path.is_dir():
        raise InputError(f"--output {path}: expected the name of a file that ends in {suffix}")
    check_output(path, force)
    trained = TrainedModel(folder, torch.device("cpu"))
    with all_or_nothing(path.parent) as scratch:
        if format_name == INT8:
            _write_int8(trained, scratch / path.name, data_root)
        else:
            _write_format(trained, format_name, scratch / path.name, data_root)
    return path


def pack(
    experiment: Path,
    bundle: Path,
    card: bytes,
    data_root: Path | None = None,
    force: bool = False,
) -> Path:
    """Pack the ONNX export of an experiment with config, thresholds, `card` and checksums.

    Raises:
        InputError: what `export` refuses, a name that does not end in .zip, or an experiment
            without its config.
    """
    if bundle.suffix != ".zip" or bundle.is_dir():
        raise InputError(f"--bundle {bundle}: expected the name of a file that ends in .zip")
    check_replaceable(bundle, "--bundle", is_bundle, force)
    trained = TrainedModel(find_experiment(experiment), torch.device("cpu"))
    config = read_bytes(trained.experiment.path / CONFIG, MEBIBYTE)
    with all_or_nothing(bundle.parent) as folder:
        model, parity = folder / MODEL, folder / PARITY
        _write_format(trained, "onnx", model, data_root)
        members = {
            MODEL: model.read_bytes(),
            PARITY: parity.read_bytes(),
            CONFIG: config,
            CARD: card,
        }
        write_bundle(folder / bundle.name, members, trained.signature)
        model.unlink()
        parity.unlink()
    return bundle


def check_output(path: Path, force: bool) -> None:
    """Raises InputError for a name that no file can have, or where a file beside or at `path`
    would be lost that is no export; the checkpoints of an experiment stay with `force` too.
    """
    check_file_name(_parity_file(path), "--output")
    if _is_checkpoint(path):
        raise InputError(f"--output {path}: is a checkpoint of an experiment: give another name")
    check_replaceable(path, "--output", _is_own, force)
    check_replaceable(
        _parity_file(path), "--output", lambda file: has_keys(file, ("format", "sha256")), force
    )
    if path.suffix == FORMATS["openvino"].suffix:
        weights = path.with_suffix(".bin")
        check_replaceable(weights, "--output", lambda _: path.exists(), force)


def _is_checkpoint(path: Path) -> bool:
    """Whether an experiment has, or would have, its weights there."""
    path = path.absolute()
    of_model = path.name == MODEL_FILE and (path.parent / RESULTS_FILE).is_file()
    of_epoch = path.parent.name == "checkpoints" and (path.parents[1] / RESULTS_FILE).is_file()
    return of_model or of_epoch


def _is_own(path: Path) -> bool:
    """Whether the parity beside the file has its checksum."""
    parity = _parity_file(path)
    return has_keys(parity, ("sha256",)) and read_json(parity)["sha256"] == _checksum(path)


def installed_packages() -> dict[str, str | None]:
    """Versions of the packages that export and run models, without those not installed."""
    return {name: version for name, version in package_versions(PACKAGES).items() if version}


def _write_format(
    trained: TrainedModel, format_name: str, file: Path, data_root: Path | None
) -> None:
    """Write the file and, beside it, its parity."""
    kind, signature = FORMATS[format_name], trained.signature
    strips, source = example_strips(trained, NUM_STRIPS, data_root)
    model = EndToEndModel(trained).eval()
    kind.write(model, torch.from_numpy(strips[:2]), file, signature.to_json())
    parity = measure_parity(trained, kind.open(file), strips, signature.class_names)
    check_parity(parity, f"{format_name} export of {trained.experiment.path}")
    write_parity(file, format_name, signature.model, {"strips": source, **parity})


def _write_int8(trained: TrainedModel, file: Path, data_root: Path | None) -> None:
    """Write the file and, beside it, its parity and macro-F1."""
    strips = Strips(trained.experiment, data_root)
    write_quantized(trained, strips, file)
    model = OnnxModel(file, str(file))
    drop = measure_f1_drop(trained, strips, model, INT8)
    if not any(drop.macro_f1_float32.values()):
        raise InputError(
            f"--format int8: {drop}: no loss can be seen, so nothing was written; train the model "
            "further, or give --format onnx"
        )
    if not drop.is_small:
        raise InputError(
            f"--format int8: {drop}: more than half a point is lost, so nothing was written; "
            "give --format onnx"
        )
    examples, source = example_strips(trained, NUM_STRIPS, data_root)
    parity = measure_parity(trained, model, examples, trained.signature.class_names)
    parity |= {"strips": source, "tolerance": None, "fidelity": drop.record()}
    final = trained.experiment.path / MODEL_FILE
    log.info("int8: %s; %.1f MB before", drop, final.stat().st_size / 1e6)
    write_parity(file, INT8, model.signature.model, parity)


def write_parity(file: Path, format_name: str, model: str, parity: dict[str, Any]) -> None:
    """Write how close the `file` of a `model` is to PyTorch, beside it."""
    report = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "format": format_name,
        "file": file.name,
        "sha256": _checksum(file),
        **parity,
        "packages": installed_packages(),
    }
    write_json(_parity_file(file), report)
    log.info(
        "%s: %.1f MB; at most %.1e from PyTorch on %d strips (%s)",
        format_name, _megabytes(file), parity["max_difference"], parity["num_strips"],
        parity["strips"],
    )  # fmt: skip


def _megabytes(file: Path) -> float:
    """With the weights beside it, where the format keeps them there."""
    weights = file.with_suffix(".bin")
    files = (file, weights) if weights.is_file() else (file,)
    return sum(one.stat().st_size for one in files) / 1e6


def _parity_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.parity.json")


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def all_or_nothing(parent: Path) -> Iterator[Path]:
    """A folder whose files are moved to `parent` at the end, unless there was an error."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=parent, prefix=".export")
    except OSError as error:
        raise InputError(f"{parent}: cannot be written to ({error.strerror})") from None
    with scratch as name:
        folder = Path(name)
        yield folder
        # A file without its parity would be no export.
        received: list[int] = []
        with handling_signals(lambda number, _: received.append(number)):
            for file in sorted(folder.iterdir()):
                with replacing(parent / file.name) as temporary:
                    shutil.move(file, temporary)
        for number in received:
            signal.raise_signal(number)
