"""A command line of `train.py`, composed and checked as the command does it.

Called in a child process: Hydra keeps what it composes in global state.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.command.choosers import CONFIG_DIR, short_forms
from core.command.config import (
    CHOICES,
    TrainConfig,
    check_config,
    explain_override,
    fill_config_store,
)
from core.command.effects import check_component_effects, check_effects
from core.command.help import store_help
from core.command.mistakes import one_line
from core.errors import InputError
from core.workbench.launching.cloning import by_key
from core.workbench.launching.overrides import hydra_text

# What composes a training imports torch, and this room does not: it is named, and found here.
EARLY_CHECKS = "core.running.early_checks:check_early"
ESTIMATE = "core.running.estimate:estimate"


def check_words(words: Sequence[str], results_dir: str) -> dict[str, Any]:
    """The words that train with these overrides in `results_dir`, and the devices that it needs.

    Or the `problem`, in the sentence of the command, and the `path` of the key that it is about.
    """
    try:
        config = composed(words)
        if Path(config.experiment.results_dir).resolve() != Path(results_dir).resolve():
            words = [*words, f"experiment.results_dir={hydra_text(results_dir)}"]
        config = composed(words)
        resolve_name(EARLY_CHECKS)(config)
    except InputError as error:
        return {"problem": str(error), "path": path_in(str(error), words)}
    return {
        "words": words,
        "name": config.experiment.name,
        # For a cluster, whose devices are not those of this machine.
        "num_gpus": 0 if config.runtime.device == "cpu" else config.runtime.devices,
        **devices_of(config.runtime.device, config.runtime.devices),
    }


def estimated(words: Sequence[str]) -> dict[str, Any]:
    """What a training with these words will take. Raises InputError as the training would."""
    return resolve_name(ESTIMATE)(composed(words))


def composed(words: Sequence[str]) -> TrainConfig:
    """The checked config of these words. Raises InputError, as the command would print it."""
    with _composing():
        config = check_config(_compose(words))
        check_effects(config.data, words)
        check_component_effects(config, words)
        return config


def standards(words: Sequence[str]) -> dict[str, Any]:
    """The value that each key has where nothing but files and components is chosen, by `words`.

    Of a component itself, it is the one that the files choose. A key without a value is left out.
    Raises InputError where the words cannot be composed.
    """
    of_files = _values([word for word in words if word.partition("=")[0] not in CHOICES])
    chosen = {key: of_files[key] for key in CHOICES if key in of_files}
    return {key: value for key, value in (_values(words) | chosen).items() if value != "???"}


def _values(words: Sequence[str]) -> dict[str, Any]:
    # Not checked: whoever has chosen a component may yet have to give what it lacks.
    with _composing():
        return by_key(OmegaConf.to_container(_compose(words), resolve=True))


def _compose(words: Sequence[str]) -> DictConfig:
    return compose("train_config", short_forms(words))


@contextmanager
def _composing() -> Iterator[None]:
    fill_config_store()
    store_help()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            yield
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain_override(error) or one_line(error)) from None


def devices_of(device: str, devices: int) -> dict[str, Any]:
    """The kind and number of devices that a training takes here."""
    gpus = count_gpus()
    on_gpu = gpus > 0 and device != "cpu"
    return {
        "wants": "gpu" if on_gpu else "cpu",
        "num_devices": min(devices, gpus) if on_gpu else 1,
    }


def count_gpus() -> int:
    """The CUDA devices that this process may use."""
    import torch  # takes seconds

    return torch.cuda.device_count()


def path_in(problem: str, words: Sequence[str]) -> str:
    """The key of a form that a sentence is about; empty where it names none."""
    keys = [word.partition("=")[0] for word in words]
    section, key = "", ""
    # Such as `loss focal_loss: gamma=-1: ...`, and `training.folds=2: ...`.
    if found := re.match(r"(\w+)(?: [\w.-]+)?: ([\w.]+)(?:[=:]| is missing)", problem):
        section, key = found[1], f"{found[1]}.{found[2]}"
    elif found := re.match(r"([\w.]+)[=:]", problem):
        key = found[1]
    named = sorted((k for k in keys if k in problem), key=len, reverse=True)
    candidates = [k for k in keys if key == k or key.startswith(f"{k}.")]
    return next(iter([*candidates, *named]), key if section or "." in key else "")
