"""From registries and settings to Hydra's groups, and from a composed config to checked values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from core.augmentation.settings import AugmentationSettings
from core.data.settings import DataSettings
from core.errors import InputError
from core.files.writing import to_json
from core.losses.registry import get_registry as get_loss_registry
from core.metrics.evaluation_settings import EvaluationSettings
from core.models.registry import get_registry as get_model_registry
from core.registry import Registry
from core.training.settings import ExperimentSettings, RuntimeSettings, TrainingSettings
from core.validation import Settings, nearest, validate

SETTINGS: dict[str, type[Settings]] = {
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
    "experiment": ExperimentSettings,
    "runtime": RuntimeSettings,
}

# The one key that is no part of an experiment: which experiment to go on with.
RESUME = "resume"

# On the command line `model.name=X` chooses a group option, as `model=X` does.
SHORT_FORMS = {"model.name": "model", "loss.type": "loss", "mask_loss.type": "mask_loss"}

NO_MASK_LOSS = "none"


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
    models, losses = get_model_registry(), get_loss_registry()
    for name in models.list():
        store.store(group="model", name=name, node={"name": name, **to_json(models.defaults(name))})
    for name in losses.list():
        store.store(group="loss", name=name, node={"type": name, **to_json(losses.defaults(name))})
    store.store(group="mask_loss", name=NO_MASK_LOSS, node={"type": NO_MASK_LOSS})
    for name in mask_loss_names():
        node = {"type": name, "weight": 1.0, **to_json(losses.defaults(name))}
        store.store(group="mask_loss", name=name, node=node)
    store_data_groups()
    augmentation = AugmentationSettings().model_dump(mode="json")
    store.store(group="augmentation", name="standard", node=augmentation)
    defaults = {name: part().model_dump(mode="json") for name, part in SETTINGS.items()}
    store.store(name="settings", node={**defaults, RESUME: None})


def store_data_groups() -> None:
    """Offer the sources of data to Hydra."""
    for source in ("severstal", "synthetic"):
        values = DataSettings(source=source, root=f"data/{source}").model_dump(mode="json")
        ConfigStore.instance().store(group="data", name=source, node=values)


def mask_loss_names() -> list[str]:
    """The losses that masks can be learnt by: those of several classes at a pixel."""
    losses = get_loss_registry()
    return [name for name in losses.list() if not losses.get(name).index_targets]


def short_forms(arguments: Iterable[str]) -> list[str]:
    """Rewrite `model.name=X` to `model=X`, and `loss.type=X` likewise, before Hydra reads them.

    Raises:
        InputError: the name of a component that is not registered, with those that are.
    """
    rewritten = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        group = SHORT_FORMS.get(key, key)
        if equals and group in SHORT_FORMS.values():
            _check_names(key, group, value)
        rewritten.append(f"{group}{equals}{value}")
    return rewritten


def _check_names(key: str, group: str, value: str) -> None:
    known = {
        "model": get_model_registry().list(),
        "loss": get_loss_registry().list(),
        "mask_loss": [NO_MASK_LOSS, *mask_loss_names()],
    }[group]
    for name in value.split(","):
        if name.strip("'\" ") not in known:
            what = group.replace("_", " ")
            raise InputError(
                f"{key}={name}: no such {what}{nearest(name, known)}; known: {', '.join(known)}"
            )


def explain_override(error: Exception) -> str | None:
    """For Hydra's complaint of a key that is not there: what is there instead, and the nearest."""
    match = re.search(r"Could not override '(\w+)\.([\w.]+)'", str(error))
    if match is None:
        return None
    section, key = match.groups()
    sections = list(TrainConfig.__dataclass_fields__)
    if section not in sections:
        return f"{section}: unknown key{nearest(section, sections)}; known: {', '.join(sections)}"
    known = _known_keys(section)
    if key.partition(".")[0] in known:
        owners = [name for name in _components(section) if key in _components(section)[name]]
        return f"{section}.{key}: not a key of this {section}; only of {', '.join(owners)}"
    return f"{section}.{key}: unknown key{nearest(key, known)}; known keys: {', '.join(known)}"


def _components(section: str) -> dict[str, dict[str, Any]]:
    if section == "model":
        models = get_model_registry()
        return {name: models.defaults(name) for name in models.list()}
    losses = get_loss_registry()
    if section == "loss":
        return {name: losses.defaults(name) for name in losses.list()}
    if section == "mask_loss":
        return {name: {"weight": 1.0, **losses.defaults(name)} for name in mask_loss_names()}
    return {}


def _known_keys(section: str) -> list[str]:
    settings = {"data": DataSettings, "augmentation": AugmentationSettings, **SETTINGS}
    if section in settings:
        return list(settings[section].model_fields)
    keys = [key for defaults in _components(section).values() for key in defaults]
    return list(dict.fromkeys(keys))


def check_config(config: DictConfig) -> TrainConfig:
    """Validate a composed config.

    Raises:
        InputError: names the key, the value, and what was expected.
    """
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    content.pop(RESUME, None)
    known = list(TrainConfig.__dataclass_fields__)
    for key in content:
        if key not in known:
            close = nearest(key, known)
            raise InputError(f"{key}: unknown key{close}; known keys: {', '.join(known)}")
    checked = {
        name: validate(part, content[name], name)
        for name, part in {
            "data": DataSettings,
            "augmentation": AugmentationSettings,
            **SETTINGS,
        }.items()
    }
    model, loss = content["model"], content["loss"]
    _check_component("model", "name", model)
    _check_component("loss", "type", loss)
    mask_loss = _check_mask_loss(content.get("mask_loss"))
    return TrainConfig(model=model, loss=loss, mask_loss=mask_loss, **checked)


def _check_mask_loss(values: dict[str, Any] | None) -> dict[str, Any] | None:
    if values is None or values.get("type") == NO_MASK_LOSS:
        return None
    weight = values.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < 1e6:
        raise InputError(f"mask_loss.weight={weight!r}: expected a number above 0")
    own = {key: value for key, value in values.items() if key != "weight"}
    _check_component("mask_loss", "type", own)
    return values


def _check_component(group: str, key: str, values: dict[str, Any]) -> None:
    registry: Registry[Any] = get_model_registry() if group == "model" else get_loss_registry()
    given = {name: value for name, value in values.items() if name != key}
    validate(registry.parameters(values[key]), given, f"{group} {values[key]}")
