"""The text of `train.py --help`, and of `--help` with a group, a component or a key."""

import importlib
import re
import sys
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import Field, TypeAdapter

import train
import validate_data
from core.command.allowed_values import allowed_values
from core.command.config import SETTINGS
from core.command.help import help_text
from core.command.help_topics import show_topics, train_topic
from core.errors import InputError
from core.losses.registry import get_registry as losses
from core.models.registry import get_registry as models
from core.running.data_validation import SECTIONS, help_on


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


def test_every_parameter_of_a_component_is_described():
    missing = [
        f"{registry.get(name).__module__}: {name}: give {key} a type such as "
        f'Annotated[float, Field(description="what it does")]'
        for registry in (models(), losses())
        for name in registry.list()
        for key, field in registry.parameters(name).model_fields.items()
        if not field.description
    ]
    assert not missing, "\n".join(missing)


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


COMPONENTS = [
    *(f"model.{name}" for name in models()),
    *(f"loss.{name}" for name in losses()),
    "mask_loss.tversky_loss",
]


def too_long(text, width):
    """Lines that are wider than the terminal though they could be broken."""
    return [line for line in text.splitlines() if len(line) > width and len(line.split()) > 1]


@pytest.mark.parametrize("width", [80, 100])
def test_help_fits_the_terminal(width):
    topics = ["model", "loss", "mask_loss", *SETTINGS, *COMPONENTS]
    for text in (help_text(width), *(train_topic(topic, width) for topic in topics)):
        assert too_long(text, width) == []
    for section in SECTIONS:
        assert too_long(help_on(section, width), width) == []


def run_help(monkeypatch, capsys, command, *words, columns="80"):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "argv", [f"code/{command.__name__}.py", *words])
    command.main()
    return capsys.readouterr().out


def test_the_width_is_that_of_the_terminal_within_bounds(monkeypatch, capsys):
    def widest(columns):
        output = run_help(monkeypatch, capsys, train, "--help", "data", columns=columns)
        return max(map(len, output.splitlines()))

    assert widest("40") == widest("80") <= 80
    assert 80 < widest("95") <= 95 < widest("300") <= 100


def test_one_group_is_shown_alone(monkeypatch, capsys):
    output = run_help(monkeypatch, capsys, train, "--help", "data")
    for key in SETTINGS["data"].model_fields:
        assert f"\n  data.{key}=" in output
    assert "training." not in output.replace("(training.folds)", "")
    assert "whole number from 0 to 256" in " ".join(output.split())
    output = run_help(monkeypatch, capsys, train, "model.name", "--help")
    assert all(f"\n  {name}" in output for name in models())
    output = run_help(monkeypatch, capsys, validate_data, "--help", "report")
    assert "report.examples=5" in output
    assert "data." not in output


@pytest.mark.parametrize("topic", COMPONENTS)
def test_one_component_is_shown_with_all_its_keys(topic):
    group, name = topic.split(".")
    registry = models() if group == "model" else losses()
    text = train_topic(topic, 80)
    assert " ".join(registry.description(name).split()) in " ".join(text.split())
    for key in registry.defaults(name):
        assert f"\n  {group}.{key}=" in text


def test_a_component_and_a_key_are_shown_with_bounds():
    focal = " ".join(train_topic("loss.focal_loss", 80).split())
    assert "loss.gamma=2.0 how much less what is easy counts; 0: alike (a number of at" in focal
    assert "by their usual number (mean, sum, none or positives)" in focal
    assert "of class_weight=effective_number; 0: no weight (a number from 0 to below 1)" in focal
    epochs = " ".join(train_topic("training.num_epochs", 100).split())
    assert epochs == (
        "training.num_epochs=50 passes over the training part (a whole number of at least 1)"
    )
    rotation = train_topic("augmentation.rotation", 100)
    assert "augmentation.rotation.degrees=2.0" in rotation
    assert "blackout" not in rotation


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("loss.fokal_loss", r"no such loss \(did you mean 'focal_loss'\?\); known: asymmetric"),
        ("focal_loss", r"unknown \(did you mean 'loss.focal_loss'\?\); groups: model, loss"),
        ("trainig", r"unknown \(did you mean 'training'\?\)"),
        ("data.batchsize", r"unknown key \(did you mean 'batch_size'\?\)"),
        ("model.pooling", "the key of one model: give that, such as --help model.convnext_atto$"),
    ],
)
def test_an_unknown_topic_names_the_nearest(word, message):
    with pytest.raises(InputError, match=f"^--help {word}: {message}"):
        train_topic(word, 80)


def test_hydra_shows_the_help_of_a_whole_command_line(capsys):
    for words in (["--help"], ["model", "data.root=DIR", "--help"], ["model"], []):
        assert not show_topics(words, train_topic)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, ""),
        (bool, ""),
        (str | None, "text or null"),
        (bool | None, "true, false or null"),
        (Literal["a", "b"] | None, "a, b or null"),
        (Annotated[int, Field(ge=0, le=10**6)], "a whole number from 0 to 1000000"),
        (Annotated[float, Field(gt=0, lt=1)], "a number above 0 and below 1"),
        (Annotated[float, Field(gt=0)] | Literal["auto"], "a number above 0 or auto"),
        (Annotated[float, Field(le=5)], "a number up to 5"),
        (tuple[int, int], "a list of 2 whole numbers"),
        (list[Annotated[float, Field(ge=0)]], "a list of numbers of at least 0"),
        (list[str], "a list of text"),
        (Any, ""),
    ],
)
def test_allowed_values_are_said_in_words(annotation, expected):
    assert allowed_values(TypeAdapter(annotation).json_schema()) == expected


@pytest.mark.parametrize(
    "command", ["predict", "evaluate", "explain", "export", "report", "compare", "convert"]
)
def test_commands_explain_each_argument_within_80_columns(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", [f"{command}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(command).main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    # An argument without a description stands alone, before another or at the end.
    bare = re.findall(r"^  (-?\S+(?: [A-Z]\S*)?)\n(?!   )", text.partition("arguments:")[2], re.M)
    assert bare == []
    if command != "convert":
        assert "folder of an experiment, its name, the beginning of" in " ".join(text.split())
