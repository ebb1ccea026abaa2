"""Which experiment to go on with, and by which config."""

import copy
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.command.config import TrainConfig, check_config
from core.errors import InputError
from core.experiments.folder import read_results
from core.experiments.lock import is_locked
from core.experiments.reading import flatten
from core.files.reading import read_yaml
from core.running.out_of_memory import AUTO
from core.validation import nearest

log = logging.getLogger(__name__)

LATEST = "latest"
CONFIG_FILE = "config.yaml"
# What changes no figure, or only its last digits (another device, or another number of devices or
# threads).
FREE = {
    "data.root", "data.cache", "data.cache_dir", "data.num_workers", "experiment.results_dir",
    "runtime.device", "runtime.devices", "runtime.num_threads",
    "training.checkpoint_minutes", "training.tensorboard",
}  # fmt: skip
_NUM_EPOCHS = "training.num_epochs"


def find_resumed(wanted: str, results_dir: Path) -> Path:
    """The folder that `resume=` names: a path, a name in `results_dir`, or `latest`.

    Raises:
        InputError: there is none, it holds no experiment, or a process is at work in it.
    """
    if wanted == LATEST:
        return _latest(results_dir)
    path = Path(wanted) if Path(wanted).exists() else results_dir / wanted
    if not path.is_dir():
        known = [entry.name for entry in results_dir.glob("*")] if results_dir.is_dir() else []
        raise InputError(
            f"resume={wanted}: no such folder{nearest(Path(wanted).name, known)}: give the folder "
            f"of an experiment, its name in {results_dir}, or {LATEST}"
        )
    if not (path / CONFIG_FILE).is_file():
        raise InputError(
            f"resume={wanted}: has no {CONFIG_FILE}, so nothing was begun there: give the folder "
            "of an experiment, or train anew"
        )
    if is_locked(path):
        raise InputError(
            f"resume={wanted}: another process is training in it: wait for it, or end it first"
        )
    return path


def _latest(results_dir: Path) -> Path:
    found = [path.parent for path in results_dir.glob(f"*/{CONFIG_FILE}")]
    found = [path for path in found if _status(path) != "completed" and not is_locked(path)]
    if not found:
        raise InputError(
            f"resume={LATEST}: no unfinished experiment in {results_dir}: name its folder, or "
            "set experiment.results_dir"
        )
    found.sort(key=lambda path: (_created_at(path), path.name))
    if found[:-1]:
        others = ", ".join(path.name for path in reversed(found[:-1]))
        log.info("The newest of %d unfinished experiments; the others: %s", len(found), others)
    return found[-1]


def _status(path: Path) -> str | None:
    return read_results(path).get("status")


def _created_at(path: Path) -> float:
    """Seconds since 1970; without a readable results.json the age of config.yaml."""
    try:
        text = read_results(path)["experiment"]["created_at"]
        return datetime.fromisoformat(text).timestamp()
    except (KeyError, TypeError, ValueError):
        return (path / CONFIG_FILE).stat().st_mtime


def read_config(path: Path) -> TrainConfig:
    """The config.yaml of an experiment.

    Raises:
        InputError: it cannot be read, or is not a config of this version.
    """
    file = path / CONFIG_FILE
    content = read_yaml(file)
    try:
        return check_config(OmegaConf.create(content))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (OmegaConfBaseException, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{file}: is not the config of an experiment ({reason})") from None


def resumed_config(
    path: Path, given: Mapping[str, Any]
) -> tuple[TrainConfig, dict[str, list[Any]]]:
    """The config that the experiment in `path` goes on with, and what differs from its own.

    `given` holds dotted keys. Differences are {key: [was, is]}.

    Raises:
        InputError: `given` would change the result; lists all that would.
    """
    config = read_config(path)
    own = flatten(config.resolved())
    settled = _settled(path)
    differing = [
        key
        for key, value in given.items()
        if (key not in own or own[key] != value) and not (value == AUTO == settled.get(key))
    ]
    changed = {key: [_look_up(config.resolved(), key), given[key]] for key in differing}
    refused = [key for key in changed if key not in FREE and not _raised(key, changed, config)]
    if refused:
        listed = "; ".join(f"{key} was {changed[key][0]}, is {changed[key][1]}" for key in refused)
        hint = "" if config.training.folds else f"; {_NUM_EPOCHS} may only be raised"
        raise InputError(
            f"resume={path}: was begun with another config ({listed}): leave these out, or train "
            f"anew{hint if _NUM_EPOCHS in refused else ''}"
        )
    # It says where experiments are looked for; this one stays where it is.
    changed.pop("experiment.results_dir", None)
    values = copy.deepcopy(config.resolved())
    for key, (_, value) in changed.items():
        section, _, name = key.partition(".")
        values[section][name] = value
    return check_config(OmegaConf.create(values)), changed


def _settled(path: Path) -> Mapping[str, Any]:
    """Which values of the config stand there for a word that was given, by their dotted keys."""
    experiment = read_results(path).get("experiment")
    settled = experiment.get("settled") if isinstance(experiment, dict) else None
    return settled if isinstance(settled, dict) else {}


def _look_up(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _raised(key: str, changed: Mapping[str, list[Any]], config: TrainConfig) -> bool:
    """Folds that are complete cannot be trained on, so that all are of one length."""
    if key != _NUM_EPOCHS or config.training.folds:
        return False
    was, now = changed[key]
    return now > was
