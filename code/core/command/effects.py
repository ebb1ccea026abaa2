"""Options on the command line that do nothing beside the others."""

from collections.abc import Iterable

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from core.command.catalogue import registry_of
from core.command.choosers import check_choices
from core.command.config import RESUME, TrainConfig, check_config
from core.data.settings import DataSettings
from core.errors import InputError
from core.validation import OnlyWith


def check_command(config: DictConfig) -> TrainConfig:
    """The checked config of the training that Hydra runs. Raises InputError."""
    check_choices(config)
    checked = check_config(config)
    check_effects(checked.data)
    check_component_effects(checked)
    return checked


def check_effects(data: DataSettings, words: Iterable[str] | None = None) -> None:
    """Raise InputError for a value of `data.*` that does nothing.

    Only for what the `words` of a command line set, by default those that Hydra runs with: a preset
    is of use with other data too, and an experiment that recorded such a value is read as it is,
    and resumed as it was begun.
    """
    given = _given_keys(words)
    for key, reason in data.without_effect().items():
        if f"data.{key}" in given:
            value = data.model_dump(mode="json")[key]
            raise InputError(f"data.{key}={value}: {reason}: leave it out")


def check_component_effects(config: TrainConfig, words: Iterable[str] | None = None) -> None:
    """Raise InputError for a parameter of a model or a loss that does nothing beside the others.

    And for a least learning rate above the peak. Only for what the `words` set, as above, and not
    for the default of a parameter.
    """
    given = _given_keys(words)
    for group, key in (("model", "name"), ("loss", "type"), ("mask_loss", "type")):
        values = getattr(config, group) or {}
        fields = registry_of(group).parameters(values[key]).model_fields if values else {}
        for name, field in fields.items():
            if f"{group}.{name}" not in given or values[name] == field.default:
                continue
            for only in (each for each in field.metadata if isinstance(each, OnlyWith)):
                if not only.holds(values):
                    raise InputError(
                        f"{group}.{name}={values[name]}: has no effect without {group}.{only}: "
                        f"{only.remedy}"
                    )
    least, peak = config.training.min_learning_rate, config.training.learning_rate
    if "training.min_learning_rate" in given and least > peak:
        raise InputError(
            f"training.min_learning_rate={least}: expected at most training.learning_rate={peak}"
        )


def _given_keys(words: Iterable[str] | None) -> set[str]:
    """The keys that the words set; none where they resume an experiment."""
    if words is None:
        words = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
    given = {word.lstrip("+").partition("=")[0] for word in words}
    return set() if RESUME in given else given
