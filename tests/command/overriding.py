"""Values on top of a composed config, without the quarter of a second that Hydra takes for them."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from core.command.choosers import short_forms
from core.command.config import SHORT_FORMS

GROUPS = {"data", "augmentation", "supervision", "experiment", *SHORT_FORMS.values()}


def group_choices(overrides: list[str]) -> list[str]:
    """Those of the overrides that choose a whole group, for which Hydra is needed."""
    return [each for each in short_forms(overrides) if each.partition("=")[0] in GROUPS]


def with_values(content: dict[str, Any], overrides: list[str]) -> DictConfig:
    """`content`, a composed config in plain types, with the other overrides on top."""
    config = OmegaConf.create(content)
    values = [each for each in short_forms(overrides) if each.partition("=")[0] not in GROUPS]
    for override in OverridesParser.create().parse_overrides(values):
        OmegaConf.update(config, override.key_or_group, override.value(), merge=False)
    return config
