"""`resume=`: find an experiment that was interrupted, and the config to continue it with."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.command.config import TrainConfig, check_values
from core.errors import InputError
from core.experiments.finding import LATEST, beginning_with, created_at, several
from core.experiments.lock import is_locked
from core.experiments.reading import flatten, look_up, read_results
from core.experiments.strips import SPLIT_FILE
from core.files.reading import read_yaml
from core.running.continuation import continue_training
from core.running.cross_validation import cross_validate
from core.running.out_of_memory import AUTO
from core.training.callbacks import EarlyStopping
from core.validation import nearest

log = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
# Keys that change no figure, or only its last digits (the device, the number of devices or
# threads).
FREE = {
    "data.root", "data.cache", "data.cache_dir", "data.num_workers", "experiment.results_dir",
    "runtime.augment_on_device", "runtime.device", "runtime.devices", "runtime.num_threads",
    "training.checkpoint_minutes", "training.trackers",
}  # fmt: skip
_NUM_EPOCHS = "training.num_epochs"


def find_training(
    wanted: str, given: Mapping[str, Any], results_dir: Path
) -> tuple[TrainConfig, Callable[..., dict[str, Any]]]:
    """The config of the experiment that `wanted` names, and a function that continues it.

    `given` holds the values of the command line by their dotted keys. Raises InputError where there
    is no such experiment, nothing is left to do in it, or a value would change its result. The
    function raises one for other data.
    """
    path = find_resumed(wanted, results_dir)
    config, changed = resumed_config(path, given)
    _check_unfinished(path, config, changed)
    if config.training.folds:
        # A fold is continued by its cross-validation, which has the same config.
        parent = path.resolve().parent
        if (parent / CONFIG_FILE).is_file() and read_config(parent).training.folds:
            raise InputError(f"resume={path}: is one fold of {parent}: give resume={parent}")
        # A copy of a single fold is a training like any other.
        if not (path / SPLIT_FILE).exists() and not (path / "checkpoints" / "last.pt").exists():
            return config, partial(cross_validate, config, path, changed)
    return config, partial(continue_training, config, path, changed=changed)


def _check_unfinished(path: Path, config: TrainConfig, changed: Mapping[str, Any]) -> None:
    if _NUM_EPOCHS in changed:
        _check_trains_on(path, flatten(config.resolved()), changed[_NUM_EPOCHS][0])
    elif read_results(path).get("status") == "completed":
        more = "" if config.training.folds else "; a larger training.num_epochs=N trains on"
        raise InputError(f"resume={path}: is completed, nothing is left to do{more}")


def _check_trains_on(path: Path, own: Mapping[str, Any], num_epochs: int) -> None:
    """Raise InputError where more than `num_epochs` would train nothing: it stopped early.

    `own` is the experiment's config by dotted keys.
    """
    results, patience = read_results(path), own.get("training.early_stopping_patience")
    stopped = len(results.get("history") or ())
    if not stopped or not patience:
        return
    stopping = EarlyStopping(patience, head_epochs=own.get("training.head_epochs") or 0)
    if stopping.is_over(stopped, results.get("best_epoch") or 0):
        raise InputError(
            f"resume={path}: stopped early after epoch {stopped} of {num_epochs}, and would again: "
            f"leave out {_NUM_EPOCHS}, or train anew with a larger training.early_stopping_patience"
        )


def find_resumed(wanted: str, results_dir: Path, kind: str | None = None) -> Path:
    """The folder that `resume=` names: a path, a name in `results_dir`, its beginning, or `latest`.

    A file of the experiment, such as a checkpoint, stands for its folder. `latest` is the latest of
    this `kind`, as results.json has it.

    Raises InputError where it is missing, holds no experiment, or a process is working in it.
    """
    if wanted == LATEST:
        return _latest(results_dir, kind)
    if not wanted.strip():
        raise InputError(f"resume=: is empty: give the folder of an experiment, or {LATEST}")
    named = Path(wanted).expanduser()
    path = named if named.exists() else results_dir / wanted
    if path.is_file() or path.name == "checkpoints":
        path = next((each for each in path.parents[:2] if (each / CONFIG_FILE).is_file()), path)
    begun = [path] if path.is_dir() else beginning_with(wanted, results_dir, CONFIG_FILE)
    if len(begun) > 1:
        raise InputError(f"resume={wanted}: is {several(begun)}: name one of them")
    path = begun[0] if begun else path
    if not path.is_dir():
        known = (entry.name for entry in results_dir.glob("*"))
        raise InputError(
            f"resume={wanted}: no such folder{nearest(Path(wanted).name, known)}: give the folder "
            f"of an experiment, its name in {results_dir} or the beginning of it, or {LATEST}"
        )
    if not (path / CONFIG_FILE).is_file():
        if inside := [file.parent for file in path.glob(f"*/{CONFIG_FILE}")]:
            raise InputError(f"resume={wanted}: holds {several(inside)}: name one of them")
        raise InputError(
            f"resume={wanted}: has no {CONFIG_FILE}, so nothing was begun there: give the folder "
            "of an experiment, or train anew"
        )
    if is_locked(path):
        raise InputError(
            f"resume={wanted}: another process is training in it: wait for it, or end it first"
        )
    return path


def _latest(results_dir: Path, kind: str | None) -> Path:
    found = [path.parent for path in results_dir.glob(f"*/{CONFIG_FILE}")]
    found = [path for path in found if read_results(path).get("kind") == kind]
    found = [path for path in found if read_results(path).get("status") != "completed"]
    found = [path for path in found if not is_locked(path)]
    if not found:
        raise InputError(
            f"resume={LATEST}: no unfinished experiment in {results_dir}: name its folder, or "
            "set experiment.results_dir"
        )
    found.sort(key=lambda path: (created_at(path), path.name))
    if found[:-1]:
        others = ", ".join(path.name for path in reversed(found[:-1]))
        log.info("The newest of %d unfinished experiments; the others: %s", len(found), others)
    return found[-1]


def read_config(path: Path) -> TrainConfig:
    """The config of an experiment. Raises InputError where it is not one of this version."""
    file = path / CONFIG_FILE
    content = read_yaml(file)
    try:
        return check_values(content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def resumed_config(
    path: Path, given: Mapping[str, Any]
) -> tuple[TrainConfig, dict[str, list[Any]]]:
    """The config that the experiment in `path` continues with, and the changes to its own.

    `given` holds dotted keys. Changes are {key: [was, is]}. Raises InputError, naming all such
    keys, where `given` would change the result.
    """
    config = read_config(path)
    own = flatten(config.resolved())
    # The words that were given, by the dotted keys whose values now hold numbers instead.
    settled = look_up(read_results(path), "experiment", "settled")
    changed = {
        key: [look_up(config.resolved(), *key.split(".")), value]
        for key, value in given.items()
        if (key not in own or own[key] != value) and not value == AUTO == look_up(settled, key)
    }
    # Complete folds cannot train on, so a cross-validation has a fixed number of epochs.
    may_rise = set() if config.training.folds else {_NUM_EPOCHS}
    refused = [
        key
        for key, (was, now) in changed.items()
        if key not in FREE and not (key in may_rise and now > was)
    ]
    if refused:
        # Another component has other keys: its name says all.
        others = {key.partition(".")[0] for key in refused if key.endswith((".name", ".type"))}
        told = [key for key in refused if key in own or key.partition(".")[0] not in others]
        listed = "; ".join(f"{key} was {changed[key][0]}, is {changed[key][1]}" for key in told)
        hint = "" if config.training.folds else f"; {_NUM_EPOCHS} may only be raised"
        raise InputError(
            f"resume={path}: was begun with another config ({listed}): leave these out, or train "
            f"anew{hint if _NUM_EPOCHS in refused else ''}"
        )
    # It says where to look for experiments; this one stays where it is.
    changed.pop("experiment.results_dir", None)
    return check_values(with_values(config.resolved(), changed)), changed


def checked_changes(
    path: Path,
    own: Mapping[str, Any],
    composed: Mapping[str, Any],
    given: Iterable[str],
    free: Iterable[str] = (),
) -> dict[str, list[Any]]:
    """The changes {key: [was, is]} with which a run of another kind than `train` is continued.

    `own` is the resolved config of the run in `path`, `composed` that of the command line, and
    `given` are the keys that it sets. Raises InputError where a value would change the result and
    is none of `FREE` and `free`, or nothing is left to do.
    """
    before, after = flatten(own), flatten(composed)
    changed = {
        key: [before.get(key), after.get(key)] for key in given if before.get(key) != after.get(key)
    }
    was, now = changed.get(_NUM_EPOCHS, (0, 0))
    rises = {_NUM_EPOCHS} if now > was else set()
    if refused := [key for key in changed if key not in {*FREE, *free, *rises}]:
        listed = "; ".join(f"{key} was {changed[key][0]}, is {changed[key][1]}" for key in refused)
        raise InputError(
            f"resume={path}: was begun with another config ({listed}): leave these out, or begin "
            "anew"
        )
    if rises:
        _check_trains_on(path, before, was)
    elif read_results(path).get("status") == "completed":
        raise InputError(
            f"resume={path}: is completed, nothing is left to do; a larger {_NUM_EPOCHS}=N trains "
            "on"
        )
    changed.pop("experiment.results_dir", None)
    return changed


def with_values(resolved: Mapping[str, Any], changed: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The resolved config with the new values of the changes."""
    values = copy.deepcopy(dict(resolved))
    for key, (_, value) in changed.items():
        section, _, name = key.partition(".")
        values[section][name] = value
    return values
