"""`resume=`: going on with an experiment, or a cross-validation, that was interrupted."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.command.config import TrainConfig
from core.errors import InputError
from core.experiments.folder import read_results
from core.running.continuation import continue_training
from core.running.cross_validation import cross_validate
from core.running.loading import read_data
from core.running.resumed_config import CONFIG_FILE, find_resumed, read_config, resumed_config


def find_training(
    wanted: str, given: Mapping[str, Any], results_dir: Path
) -> tuple[TrainConfig, Callable[[], dict[str, Any]]]:
    """The config of the experiment that `wanted` names, and what goes on with it.

    `given` are the values of the command line by their dotted keys.

    Raises:
        InputError: no such experiment, nothing is left to do in it, or values that would change
            its result; to go on, other data than it was begun with.
    """
    path = find_resumed(wanted, results_dir)
    config, changed = resumed_config(path, given)
    _check_unfinished(path, config, changed)
    if config.training.folds:
        _check_whole(path)
        return config, partial(cross_validate, config, path, changed)
    return config, partial(_continue, config, path, changed)


def _continue(config: TrainConfig, path: Path, changed: Mapping[str, Any]) -> dict[str, Any]:
    return continue_training(config, read_data(config.data), path, changed=changed)


def _check_unfinished(path: Path, config: TrainConfig, changed: Mapping[str, Any]) -> None:
    results = read_results(path)
    if results.get("status") != "completed":
        return
    if "training.num_epochs" not in changed:
        more = "" if config.training.folds else "; a larger training.num_epochs=N trains on"
        raise InputError(f"resume={path}: is completed, nothing is left to do{more}")
    before, _ = changed["training.num_epochs"]
    if len(results.get("history", [])) < before:
        raise InputError(
            f"resume={path}: stopped early after epoch {len(results['history'])} of {before}, and "
            f"would again: train anew with a larger training.early_stopping_patience"
        )


def _check_whole(path: Path) -> None:
    """A fold is gone on with by its cross-validation, which has the same config."""
    parent = path.resolve().parent
    if not (parent / CONFIG_FILE).is_file():
        return
    if read_config(parent).training.folds:
        raise InputError(f"resume={path}: is one fold of {parent}: give resume={parent}")
