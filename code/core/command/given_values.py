"""The values that a command line sets, without those that are merely the default."""

from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from core.command.choosers import KEYS
from core.command.config import check_config
from core.experiments.reading import flatten

CONFIG_NAME = "train_config"


def given_values(config: DictConfig) -> dict[str, Any]:
    """The values that `config` was given, by dotted key, in the types of config.yaml.

    `config` is what Hydra composed and is running with. A value counts as given if it is on the
    command line, or if a group that was chosen there changes it.

    Raises:
        InputError: a value of the wrong type, or out of bounds.
    """
    overrides = list(HydraConfig.get().overrides.task)
    named = [override.lstrip("+~").partition("=")[0] for override in overrides]
    named = [KEYS.get(name, name) for name in named]
    plain = flatten(check_config(compose(CONFIG_NAME)).resolved())
    composed = flatten(check_config(config).resolved())
    return {
        key: value
        for key, value in composed.items()
        if key not in plain
        or plain[key] != value
        or any(key == name or key.startswith(f"{name}.") for name in named)
    }
