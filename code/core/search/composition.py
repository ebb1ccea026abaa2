"""The configs of trials: the command line's values with those of the space, composed by Hydra."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from core.command.choosers import CONFIG_DIR, short_forms
from core.command.config import (
    CHOICES,
    SETTINGS,
    SHORT_FORMS,
    TrainConfig,
    check_config,
    explain_override,
)
from core.command.effects import check_effects
from core.command.given_values import CONFIG_NAME
from core.command.mistakes import one_line
from core.errors import InputError
from core.search.settings import SearchSettings
from core.search.space import Choices, Space, has_key
from core.validation import nearest

# All trials are judged on the same validation images, so a space holds only what leaves them.
_DATA_KEYS = {"batch_size", "sampler", "resize", "resize_mode", "mask_fraction"}
_SECTIONS = {"training", "augmentation", "supervision", *SHORT_FORMS.values()}
_FIXED_TRAINING = {"folds", "trackers", "checkpoint_minutes", "checkpoint_every_n_epochs"}


@dataclass(frozen=True)
class SearchConfig:
    """A search whose every value has been checked: `overrides` are the same in all trials.

    `base` is their config beside `space.first_data`: the first data that a trial may have.
    """

    space: Space
    search: SearchSettings
    overrides: tuple[str, ...]
    base: TrainConfig

    def compose(self, values: Mapping[str, str], *more: str) -> TrainConfig:
        """The config of a trial with these values."""
        return composed([*self.overrides, *words(values), *more])

    @property
    def chosen(self) -> dict[str, str]:
        """The component of each group before any is searched."""
        mask_loss = self.base.mask_loss or {}
        return {
            "model": self.base.model["name"],
            "loss": self.base.loss["type"],
            "mask_loss": mask_loss.get("type", ""),
        }

    def study_name(self, fingerprint: str, free: Iterable[str]) -> str:
        """The space's name, and a hash of all that changes the figures of the trials.

        `fingerprint` is that of the data; the `free` keys, dotted, change no figure.
        """
        config = self.base.resolved()
        for key in [*free, "experiment.name", "experiment.results_dir"]:
            section, _, name = key.partition(".")
            config[section].pop(name, None)
        objective = self.search.model_dump(include={"pruning", "latency", "seed"})
        content = [self.space.described(), config, objective, fingerprint]
        text = json.dumps(content, sort_keys=True, default=str)
        return f"{self.space.name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def words(values: Mapping[str, str]) -> list[str]:
    """Values by key as they are given on a command line."""
    return [f"{key}={text}" for key, text in values.items()]


def composed(overrides: Sequence[str]) -> TrainConfig:
    """The checked config of a training. Raises InputError for a key or value that does not fit."""
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return check_config(compose(CONFIG_NAME, overrides=short_forms(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain_override(error) or one_line(error)) from None


def check_search(config: SearchConfig) -> None:
    """Raise InputError, naming the file, for a key or value of the space that cannot be trained.

    Every bound and every choice is composed once, beside the values of the command line.
    """
    check_effects(config.base.data, config.overrides)
    space, given = config.space, {word.partition("=")[0].lstrip("+") for word in config.overrides}
    for key, parameter in space.parameters.items():
        if given & {key, CHOICES.get(key, key)}:
            raise InputError(f"{key}: is searched by {space.file}: leave it out of the command")
        with _located(space, key):
            _check_key(key)
            for beside in _components_with(key, config):
                for text in parameter.examples:
                    config.compose({**space.first_data, **beside, key: text})


@contextmanager
def _located(space: Space, key: str) -> Iterator[None]:
    """A mistake within is one of this key of the space."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{space.file}: {error}") from None


def _check_key(key: str) -> None:
    section, _, name = key.partition(".")
    full = [f"{owner}.{key}" for owner in SETTINGS if key in SETTINGS[owner].model_fields]
    if section not in _SECTIONS and section != "data":
        known = [*sorted(_SECTIONS), "data"]
        close = nearest(full[0] if full else key, full or known)
        raise InputError(f"{key}: cannot be searched{close}; groups: {', '.join(known)}")
    if (section == "training" and name in _FIXED_TRAINING) or (
        section == "data" and name in SETTINGS["data"].model_fields and name not in _DATA_KEYS
    ):
        raise InputError(
            f"{key}: cannot be searched: all trials are judged alike, on the same images: give it "
            "on the command line"
        )


def _components_with(key: str, config: SearchConfig) -> list[dict[str, str]]:
    """The values that choose each component with this key; one without any, where none is chosen.

    Composing a key that no component has is a mistake, which says which ones have it.
    """
    group = key.partition(".")[0]
    chooser = next((each for each, chosen in SHORT_FORMS.items() if chosen == group), None)
    searched = config.space.parameters.get(chooser) if chooser != key else None
    if not isinstance(searched, Choices):
        return [{}]
    found = [{chooser: name} for name in searched.texts if has_key(key, {group: name})]
    return found or [{chooser: searched.texts[0]}]
