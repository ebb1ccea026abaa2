"""Options on the command line that the chosen data do not heed."""

from collections.abc import Iterable

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from core.command.choosers import check_choices
from core.command.config import RESUME, TrainConfig, check_config
from core.data.settings import DataSettings
from core.errors import InputError


def check_command(config: DictConfig) -> TrainConfig:
    """The checked config of the training that Hydra runs. Raises InputError."""
    check_choices(config)
    checked = check_config(config)
    check_effects(checked.data)
    return checked


def check_effects(data: DataSettings, words: Iterable[str] | None = None) -> None:
    """Raise InputError for a value of `data.*` that does nothing.

    Only for what the `words` of a command line set, by default those that Hydra runs with: a preset
    is of use with other data too, and an experiment that recorded such a value is read as it is,
    and resumed as it was begun.
    """
    if words is None:
        words = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
    given = {word.lstrip("+").partition("=")[0] for word in words}
    if RESUME in given:
        return
    for key, reason in data.without_effect().items():
        if f"data.{key}" in given:
            value = data.model_dump(mode="json")[key]
            raise InputError(f"data.{key}={value}: {reason}: leave it out")
