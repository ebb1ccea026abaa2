"""The text of `train.py --help`."""

import torch

from core.command.config import SETTINGS
from core.command.help import help_text
from core.losses.registry import get_registry as losses
from core.models.registry import get_registry as models


def test_help_names_every_component_and_every_key():
    text = help_text()
    for name in [*models().list(), *losses().list()]:
        assert f"  {name}" in text
        for key in models().defaults(name) if name in models() else losses().defaults(name):
            assert f".{key}=" in text
    for section, settings in SETTINGS.items():
        for key in settings.model_fields:
            assert f"{section}.{key}" in text
            field = settings.model_fields[key]
            if section != "augmentation":
                assert field.description, f"{section}.{key} has no description"


def test_help_says_how_to_switch_what_is_off_and_what_is_on():
    text = " ".join(help_text().split())
    assert "augmentation.blackout=true switches it on, with probability 0.5: Paint" in text
    assert "augmentation.rotation=null switches it off: Turn" in text


def test_help_keeps_what_models_share_where_one_lacks_it():
    before = help_text().partition("model.*,")[2].partition("loss.type")[0]

    class Bare(torch.nn.Module):
        def __init__(self, num_classes: int = 4, aside: str = "") -> None:
            super().__init__()

    models().register("a_bare_model", Bare)
    try:
        text = help_text()
    finally:
        models().unregister("a_bare_model")
    assert text.partition("model.*,")[2].partition("loss.type")[0] == before
    (line,) = [line for line in text.splitlines() if "model.aside=" in line]
    assert line.split() == ["model.num_classes=null", "model.aside=", "and", "no", "other", "key"]
