"""Finished experiments, found and read from their folders."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.experiments.schema import NOVELTY, PRETRAINING, SCHEMA_VERSION, check_results
from core.files.reading import read_json

RESULTS_FILE = "results.json"
RESULTS_DIR = Path("experiments/results")
UNFINISHED = {
    "running": "is still running, or was killed",
    "interrupted": "was interrupted before its test",
    "failed": "failed",
}
# What a completed training, or an experiment of another kind, must hold to be of any use.
REQUIRED = (
    ("config",), ("data", "class_names"), ("test", "macro"), ("test", "per_class"),
    ("test", "num_images"),
)  # fmt: skip
REQUIRED_OF_OTHERS = {
    PRETRAINING: (("config", "model"), ("data", "image_size"), ("method", "type")),
    NOVELTY: (("config", "scoring"), ("data", "image_size"), ("detector", "type"), ("threshold",)),
}
TRAINING = "training"


@dataclass(frozen=True)
class Experiment:
    """A completed experiment: its folder and the content of its results.json."""

    path: Path
    results: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def kind(self) -> str:
        """`training`; or `pretraining` or `novelty`, which only `read_any` returns."""
        kind = self.results.get("kind")
        return kind if kind in REQUIRED_OF_OTHERS else TRAINING

    @property
    def is_pretraining(self) -> bool:
        """Whether it has an encoder and no classes."""
        return self.kind == PRETRAINING

    @property
    def class_names(self) -> list[str]:
        return list(self.results["data"]["class_names"])

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config with dotted keys; empty where a run has just begun."""
        return flatten(self.results.get("config") or {})

    def look_up(self, *keys: str) -> Any:
        """The value under these nested keys; None where one is missing."""
        return look_up(self.results, *keys)

    def check_has_one_model(self) -> None:
        """Raises InputError for a cross-validation, naming the folder of one of its models."""
        if folds := self.look_up("folds"):
            raise InputError(
                f"{self.path} is a cross-validation of {len(folds)} models: name the folder of one "
                f"of them, such as {self.path / folds[0]['name']}"
            )


def look_up(nested: Any, *keys: str) -> Any:
    """The value under these nested keys; None where one is missing."""
    for key in keys:
        nested = nested.get(key) if isinstance(nested, Mapping) else None
    return nested


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"loss": {"gamma": 2}} as {"loss.gamma": 2}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_results(path: Path) -> dict[str, Any]:
    """The results.json in an experiment's folder; empty where there is none, or not a whole one."""
    try:
        content = read_json(path / RESULTS_FILE)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def read_experiment(experiment: Path | str | Mapping[str, Any]) -> Experiment:
    """Read a training, given by its folder or by the content of its results.json.

    Raises InputError unless it is completed, whole and of this schema, and a training.
    """
    read = read_any(experiment)
    if read.kind == NOVELTY:
        raise InputError(
            f"{read.path} is a detector of novelty, which has no classes: expected a training; "
            f"code/novelty.py score {read.path} IMAGES uses it"
        )
    if read.is_pretraining:
        model = read.config.get("model.name")
        raise InputError(
            f"{read.path} is a pretraining, which has an encoder and no classes: expected a "
            f"training; code/train.py model.name={model} "
            f"model.weights={read.path / 'encoder.safetensors'} trains one from it"
        )
    return read


def read_any(experiment: Path | str | Mapping[str, Any]) -> Experiment:
    """Read an experiment of any kind. Raises InputError as `read_experiment` does."""
    found = _opened(experiment)
    results, file = found.results, found.path / RESULTS_FILE
    _check_completed(found, file)
    for keys in REQUIRED_OF_OTHERS.get(found.kind, REQUIRED):
        if not look_up(results, *keys):
            raise InputError(f"{file} has no {'.'.join(keys)}: it is incomplete, train again")
    check_results(results, file)
    return found


def read_begun(path: Path) -> Experiment:
    """Read an experiment that may still be running, or ended early.

    Raises InputError unless its results.json is of this schema.
    """
    found = _opened(path)
    check_results(dict(found.results), path / RESULTS_FILE)
    return found


def _opened(experiment: Path | str | Mapping[str, Any]) -> Experiment:
    if isinstance(experiment, Mapping):
        results, path = experiment, _recorded_folder(experiment)
    else:
        results, path = read_json(Path(experiment) / RESULTS_FILE), Path(experiment)
    file = path / RESULTS_FILE
    version = look_up(results, "schema_version")
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{file} has no schema_version: it is not the results of an experiment")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema_version {version}; this version reads {SCHEMA_VERSION}: "
            "update the project"
        )
    return Experiment(path, results)


def _check_completed(found: Experiment, file: Path) -> None:
    status = found.results.get("status")
    if isinstance(status, str) and status in UNFINISHED:
        message = found.results.get("status_message")
        script = "pretrain.py" if found.is_pretraining else "train.py"
        remedy = f"code/{script} resume={found.path} completes it"
        raise InputError(
            f"{found.path} {UNFINISHED[status]}{f' ({message})' if message else ''}: expected a "
            f"completed experiment; {'fit it again' if found.kind == NOVELTY else remedy}"
        )
    if status != "completed":
        raise InputError(f"{file}: status={status!r}; expected 'completed'")


def _recorded_folder(results: Mapping[str, Any]) -> Path:
    """Where the experiment was written; its other files may still lie there."""
    results_dir = look_up(results, "config", "experiment", "results_dir") or RESULTS_DIR
    return Path(str(results_dir)) / str(look_up(results, "experiment", "name") or "experiment")


def load_json(pattern: Path | str) -> list[dict[str, Any]]:
    """The content of each file that matches, such as `experiments/results/*/results.json`.

    Raises InputError where no file matches, and for one that is no JSON object.
    """
    # Path.glob takes no absolute pattern.
    files = sorted(glob.glob(str(pattern), recursive=True))  # noqa: PTH207
    if not files:
        raise InputError(f"{pattern}: no such file: expected the results.json of experiments")
    contents = [read_json(Path(file)) for file in files]
    for file, content in zip(files, contents, strict=True):
        if not isinstance(content, dict):
            raise InputError(f"{file}: is no JSON object: expected the results.json of a run")
    return contents


def read_all(
    experiments: Sequence[Path | str | Mapping[str, Any]],
) -> tuple[list[Experiment], list[str]]:
    """The experiments that can be read, and one line for each that cannot."""
    read, problems = [], []
    for each in experiments:
        try:
            read.append(read_any(each))
        except InputError as error:
            problems.append(str(error))
    return read, problems
