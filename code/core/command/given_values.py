"""What a command line sets, apart from what merely is the default."""

from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from core.command.config import check_config
from core.experiments.reading import flatten

CONFIG_NAME = "train_config"

# What the choice of a group option says, even of the one that is the default.
_CHOICES = {
    "model": "model.name",
    "loss": "loss.type",
    "mask_loss": "mask_loss.type",
    "data": "data.source",
    "augmentation": "augmentation",
}


def given_values(config: DictConfig) -> dict[str, Any]:
    """The values by their dotted keys, in the types of config.yaml, that `config` was given.

    `config` is what Hydra composed and is running with. A value counts as given when it stands
    on the command line, or when a group that was chosen there makes it differ.

    Raises:
        InputError: a value that is not what it should be.
    """
    overrides = list(HydraConfig.get().overrides.task)
    named = [override.lstrip("+~").partition("=")[0] for override in overrides]
    named = [_CHOICES.get(name, name) for name in named]
    plain = flatten(check_config(compose(CONFIG_NAME)).resolved())
    composed = flatten(check_config(config).resolved())
    return {
        key: value
        for key, value in composed.items()
        if key not in plain
        or plain[key] != value
        or any(key == name or key.startswith(f"{name}.") for name in named)
    }
