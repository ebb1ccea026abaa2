"""From registries and settings to Hydra's groups, and from a composed config to checked values."""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from core.augmentation.settings import AugmentationSettings
from core.command.catalogue import offered, registry_of
from core.data.settings import DataSettings
from core.errors import InputError, defined_at
from core.metrics.evaluation_settings import EvaluationSettings
from core.training.settings import ExperimentSettings, RuntimeSettings, TrainingSettings
from core.validation import Settings, nearest, validate

SETTINGS: dict[str, type[Settings]] = {
    "data": DataSettings,
    "augmentation": AugmentationSettings,
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
    "experiment": ExperimentSettings,
    "runtime": RuntimeSettings,
}

# The one key that does not belong to an experiment: which experiment to continue.
RESUME = "resume"

# On the command line `model.name=X` chooses a group option, as `model=X` does.
SHORT_FORMS = {"model.name": "model", "loss.type": "loss", "mask_loss.type": "mask_loss"}

# These choose an option of a group, wherever they are written.
CHOICES = {**SHORT_FORMS, "data.source": "data"}

NO_MASK_LOSS = "none"

# Whenever Hydra composes or lists configs, it copies all that is stored, for 0.1 s. That is not
# needed: what it takes out of the store, it copies as well.
ConfigStore.__deepcopy__ = lambda store, memo: store


@dataclass(frozen=True)
class TrainConfig:
    """A composed config whose every value has been checked."""

    model: dict[str, Any]
    loss: dict[str, Any]
    mask_loss: dict[str, Any] | None
    data: DataSettings
    augmentation: AugmentationSettings
    training: TrainingSettings
    evaluation: EvaluationSettings
    experiment: ExperimentSettings
    runtime: RuntimeSettings

    def resolved(self) -> dict[str, Any]:
        """The config in plain types, as results.json and config.yaml keep it."""
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: part.model_dump(mode="json") if isinstance(part, Settings) else part
            for name, part in parts.items()
        }


def fill_config_store() -> None:
    """Offer every registered component, and all settings with their defaults, to Hydra."""
    store = ConfigStore.instance()
    for key, group in SHORT_FORMS.items():
        for name, defaults in components(group).items():
            node = {key.rpartition(".")[2]: name, **defaults}
            store.store(group=group, name=name, node=node)
    store_data_groups()
    defaults = {name: section().model_dump(mode="json") for name, section in SETTINGS.items()}
    store.store(group="augmentation", name="standard", node=defaults.pop("augmentation"))
    defaults.pop("data")
    store.store(name="settings", node={**defaults, RESUME: None})


def store_data_groups() -> None:
    """Offer the sources of data to Hydra."""
    for source in ("severstal", "synthetic"):
        values = DataSettings(source=source, root=f"data/{source}").model_dump(mode="json")
        ConfigStore.instance().store(group="data", name=source, node=values)


def components(group: str) -> dict[str, dict[str, Any]]:
    """What `model`, `loss` or `mask_loss` can choose: each name with its keys and defaults."""
    known = {name: component.defaults for name, component in offered(group).items()}
    if group == "model":
        return {name: _as_many_as_the_data(defaults) for name, defaults in known.items()}
    if group == "loss":
        return known
    chosen = {name: {"weight": 1.0, **known[name]} for name in mask_loss_names()}
    return {NO_MASK_LOSS: {}, **chosen}


def key_schemas(section: str, key: str) -> list[Mapping[str, Any]]:
    """The JSON Schema of a key of settings or, one for each component that has it, of a group."""
    if section in SETTINGS:
        owners = [_schema_of(section)["properties"]]
    elif section in SHORT_FORMS.values():
        owners = [component.properties for component in offered(section).values()]
    else:
        owners = []
    return [own[key] for own in owners if key in own]


@functools.cache
def _schema_of(section: str) -> Mapping[str, Any]:
    """The JSON Schema of settings, which is asked for with each word of a command."""
    return SETTINGS[section].model_json_schema()


def _as_many_as_the_data(defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults of a model, whose number of classes is known once the data are read."""
    return {key: None if key == "num_classes" else value for key, value in defaults.items()}


def mask_loss_names() -> list[str]:
    """The losses that can learn masks: those that allow several classes at a pixel."""
    return [name for name, component in offered("mask_loss").items() if component.learns_masks]


def explain_override(error: Exception) -> str | None:
    """For Hydra's complaint that a key is not there: the keys that are, and the nearest."""
    match = re.search(r"Could not override '(\w+)(?:\.([\w.]+))?'", str(error))
    if match is None:
        return None
    section, key = match.groups()
    sections = [*TrainConfig.__dataclass_fields__, "supervision", RESUME]
    if section not in sections:
        owners = [name for name in SETTINGS if section in SETTINGS[name].model_fields]
        owners += [name for name in SHORT_FORMS.values() if key_schemas(name, section)]
        full = f"{owners[0]}.{section}" if owners else section
        close = nearest(full, [full] if owners else sections)
        return f"{section}: unknown key{close}; known: {', '.join(sections)}"
    if section in SETTINGS:
        known = list(SETTINGS[section].model_fields)
    else:
        keys_of = components(section)
        outer, _, inner = key.partition(".")
        owners = [name for name, keys in keys_of.items() if outer in keys]
        if owners and inner:
            return (
                f"{section}.{key}: {outer} has no such key by default: give it as a whole, "
                f"{section}.{outer}={{{inner}:VALUE}}"
            )
        if owners:
            return f"{section}.{key}: not a key of this {section}; only of {', '.join(owners)}"
        choice = next(k.partition(".")[2] for k, group in SHORT_FORMS.items() if group == section)
        known = list(dict.fromkeys([choice, *(key for keys in keys_of.values() for key in keys)]))
    return f"{section}.{key}: unknown key{nearest(key, known)}; known keys: {', '.join(known)}"


def check_config(config: DictConfig) -> TrainConfig:
    """Validate a config that Hydra composed from the command line and the project's own files.

    Raises:
        InputError: names the key, the value, and what was expected.
    """
    _check_nothing_missing(config)
    content = at_home(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    content.pop(RESUME, None)
    return check_values(content)


def check_values(content: Mapping[str, Any]) -> TrainConfig:
    """Validate a config in plain values, such as an experiment's; an interpolation is plain text.

    Raises:
        InputError: names the key, the value, and what was expected.
    """
    known = list(TrainConfig.__dataclass_fields__)
    for key in content:
        if key not in known:
            close = nearest(key, known)
            raise InputError(f"{key}: unknown key{close}; known keys: {', '.join(known)}")
    for name in known:
        is_off = name == "mask_loss" and content.get(name) is None
        if not is_off and not isinstance(content.get(name), Mapping):
            raise InputError(f"{name}={content.get(name)!r}: expected a section of keys and values")
    checked = {name: validate(part, content[name], f"{name}.") for name, part in SETTINGS.items()}
    from core.training.optimization import check_optimizer  # takes seconds, unlike all above

    check_optimizer(checked["training"].optimizer)
    model, loss, mask_loss = content["model"], content["loss"], content.get("mask_loss")
    _check_component("model", "name", model)
    _check_component("loss", "type", loss)
    if mask_loss is None or mask_loss.get("type") == NO_MASK_LOSS:
        mask_loss = None
    else:
        weight = mask_loss.get("weight")
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < 1e6:
            raise InputError(f"mask_loss.weight={weight!r}: expected a number above 0, below 1e6")
        _check_component("mask_loss", "type", mask_loss)
    return TrainConfig(model=model, loss=loss, mask_loss=mask_loss, **checked)


def _check_nothing_missing(config: DictConfig) -> None:
    for key in sorted(OmegaConf.missing_keys(config)):
        section, _, name = key.partition(".")
        remedy = ""
        if section in SHORT_FORMS.values():
            registry = registry_of(section)
            chosen = config[section].get("name" if section == "model" else "type")
            if examples := registry.parameters(chosen).model_fields[name].examples:
                remedy = f", such as {key}={examples[0]}"
            else:
                place = defined_at(registry.get(chosen), "__init__")
                remedy = f", or a default for {name} in the constructor ({place})"
        raise InputError(f"{key}: has no value: give {key}=VALUE{remedy}")


def at_home(value: Any) -> Any:
    """`value` with the user's folder for each leading `~`, which no shell replaces after a `=`."""
    if isinstance(value, dict):
        return {key: at_home(each) for key, each in value.items()}
    if isinstance(value, list):
        return [at_home(each) for each in value]
    is_at_home = isinstance(value, str) and (value == "~" or value.startswith("~/"))
    return os.path.expanduser(value) if is_at_home else value  # noqa: PTH111


def _check_component(group: str, key: str, values: dict[str, Any]) -> None:
    registry = registry_of(group)
    named = (key, "weight") if group == "mask_loss" else (key,)
    given = {name: value for name, value in values.items() if name not in named}
    if group == "model" and "num_classes" in given and given["num_classes"] is None:
        given["num_classes"] = 1  # the data will say how many
    name = str(values.get(key))
    validate(registry.parameters(name), given, f"{group} {name}")
