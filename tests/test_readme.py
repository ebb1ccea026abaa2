"""README.md and the guides are true: what they name exists, and their links and code work."""

import importlib
import re
from pathlib import Path
from typing import Any, get_args

import fuzzing
import pytest
from conftest import REPOSITORY
from experiment_factory import read_results
from guides import (
    README,
    anchors,
    blocks,
    code_spans,
    commands,
    guides,
    named,
    prose,
)
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from benchmarks.options import Options
from core.command.config import check_config
from core.command.help import help_text
from core.experiments.reading import flatten
from core.experiments.schema import Results, Section
from core.losses.registry import get_registry as losses
from core.models.registry import get_registry as models
from core.novelty.settings import SETTINGS as NOVELTY
from core.pretraining.settings import SETTINGS as PRETRAINING
from core.pretraining.settings import default_values

SET_UP = "python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python "
# Keys that an experiment has only in some cases.
MORE_KEYS = {"experiment.resumed_at", "mask_loss.weight", "mask_loss.type"}
SUFFIXES = {".json", ".onnx", ".zip"}
# Files that a reader is to write.
NEW_FILES = {"code/core/models/my_model.py", "code/core/losses/my_loss.py"}


def every_span() -> list[tuple[Path, str]]:
    return [(path, span) for path in guides() for span in code_spans(path)]


def test_the_two_commands():
    assert SET_UP + "code/train.py experiment=quickstart" in commands()
    assert SET_UP + "-m pytest" in commands()
    run = (REPOSITORY / ".ci" / "run").read_text()
    assert "-m pytest\n" in run


def test_what_is_optional_is_tested_in_the_version_that_a_guide_names():
    told = "".join(path.read_text() for path in guides())
    wanted = (REPOSITORY / ".ci" / "optional.txt").read_text().split()
    assert wanted
    for requirement in wanted:
        assert f"pip install {requirement}" in told


def test_the_readme_is_short():
    assert README.read_text().count("\n") <= 250


def test_every_room_has_a_guide_that_the_readme_links_to():
    rooms = [path.parent for path in (REPOSITORY / "code" / "core").glob("*/__init__.py")]
    rooms += [REPOSITORY / name for name in ("config", "experiments", "code/benchmarks")]
    linked = prose(README)
    for guide in (room / "README.md" for room in rooms):
        assert guide.is_file(), f"{named(guide.parent)} has no README.md"
        assert f"({named(guide)})" in linked, f"README.md has no link to {named(guide)}"


def test_links_lead_somewhere():
    broken = []
    for path in guides():
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
            if link.startswith("https://"):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.is_file() or (anchor and anchor not in anchors(target)):
                broken.append(f"{named(path)}: {link}")
    assert not broken


def test_pictures_are_small():
    pictures = [
        path.parent / picture
        for path in guides()
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", prose(path))
    ]
    assert any(picture.parent == REPOSITORY / "experiments" for picture in pictures)
    assert all(picture.stat().st_size <= 200_000 for picture in pictures)


def test_files_that_are_named_exist():
    pattern = re.compile(r"(?:code|config|tests|experiments)/[\w./]+")
    missing = [
        f"{named(path)}: {span}"
        for path, span in every_span()
        if pattern.fullmatch(span)
        and span not in NEW_FILES
        and "NAME" not in span
        and not span.startswith("experiments/results")
        and not (REPOSITORY / span).exists()
    ]
    assert not missing


def test_tests_in_the_table_of_faults_exist():
    (table,) = [text for text in map(prose, guides()) if "which test shows it" in text]
    tests = re.findall(r"`(tests/[\w/]+\.py)`", table)
    assert len(tests) > 40
    assert not [test for test in tests if not (REPOSITORY / test).is_file()]


def test_names_of_the_code_can_be_imported():
    unknown = []
    for path, span in every_span():
        if re.fullmatch(r"(core|benchmarks)(\.\w+)+", span):
            module, _, name = span.rpartition(".")
            try:
                found = hasattr(importlib.import_module(module), name)
                found = found or importlib.import_module(span)
            except ImportError:
                found = False
            if not found:
                unknown.append(f"{named(path)}: {span}")
    assert not unknown


def test_keys_that_are_named_are_known(trained):
    """A key in the text, such as `data.cache`, is one of the command line or of results.json."""
    results = read_results(trained)
    known = {*flatten(results), *flatten(results["config"]), *MORE_KEYS}
    for group, registry in (("model", models()), ("loss", losses()), ("mask_loss", losses())):
        for name in registry.list():
            known |= {f"{group}.{key}" for key in registry.defaults(name)}
    known |= {f"{name}.{key}" for name in PRETRAINING for key in default_values(name)}
    known |= {f"{name}.{key}" for name, keys in NOVELTY.items() for key in keys.model_fields}
    known |= {key.rpartition(".")[0] for key in known}
    groups = {*results["config"], "mask_loss"}
    unknown = [
        f"{named(path)}: {span}"
        for path, span in every_span()
        for key in re.findall(r"^(\w+\.\w[\w.]*)(?:=\S*)?$", span)
        if key.split(".")[0] in groups and key not in known and Path(key).suffix not in SUFFIXES
    ]
    assert not unknown


def test_results_json_is_described_key_by_key():
    text = " ".join(code_spans(REPOSITORY / "experiments" / "README.md"))
    missing = {name for section in _sections() for name in section.model_fields}
    assert not missing - set(re.findall(r"\w+", text))


def _sections(outer: type[Section] = Results) -> set[type[Section]]:
    """The schema of results.json and every section in it."""
    found = {outer}
    todo: list[Any] = [field.annotation for field in outer.model_fields.values()]
    while todo:
        annotation = todo.pop()
        todo += get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Section):
            found |= _sections(annotation)
    return found


def test_options_that_are_named_exist():
    code = "".join(path.read_text() for path in (REPOSITORY / "code").rglob("*.py"))
    known = set(re.findall(r'"(--[\w-]+)"', code)) | {"--help"}
    known |= {f"--{name.replace('_', '-')}" for name in Options.__dataclass_fields__}
    unknown = [
        f"{named(path)}: {option}"
        for path, span in every_span()
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", span)
        if option not in known
    ]
    assert not unknown


def test_the_fuzz_command_tries_as_many_inputs_as_it_says():
    (command,) = [command for command in commands() if "fuzz" in command]
    assert command in fuzzing.__doc__
    files = sorted((REPOSITORY / "tests").rglob("test_*fuzz*.py"))
    assert sum(path.read_text().count("@fuzzed") for path in files) == fuzzing.TARGETS


def test_help_lists_every_component_with_what_it_is():
    text = " ".join(help_text().split())
    for registry in (models(), losses()):
        for name in registry.list():
            assert f" {name} {' '.join(registry.description(name).split())}" in text


@pytest.mark.usefixtures("compose")
def test_the_experiment_of_the_config_guide_composes(tmp_path):
    (text,) = blocks(REPOSITORY / "config" / "README.md", "yaml")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(text)
    with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
        where = f"hydra.searchpath=[file://{tmp_path}]"
        config = check_config(hydra_compose("train_config", overrides=[where, "experiment=own"]))
    assert (config.model["name"], config.loss["type"]) == ("resnet50", "bce_with_logits")
    assert (config.data.batch_size, config.experiment.name) == (16, "my_experiment")


def test_no_placeholder_is_left():
    for path in guides():
        assert not re.findall(r"\b[A-Z]+_TABLE\b|\bTODO\b", path.read_text())
