"""The walls of the house, read from the imports."""

import ast
import code as standard_code
from pathlib import Path

import pytest
from conftest import REPOSITORY

CODE = REPOSITORY / "code"
CORE = CODE / "core"
FOUNDATION = {
    "bounded_reading",
    "errors",
    "files",
    "locks",
    "registry",
    "spreadsheet",
    "torchvision_ops",
    "validation",
}
SIBLINGS = {"models", "losses", "augmentation", "data", "training"}
# These report the figures that training defined, by the same functions.
REPORTING = {"analysis", "dashboard"}
# These put the rooms together; no room imports them. Of each other they may use what is named.
COMPOSERS = {"running": set(), "shipping": {"running"}, "benchmark": {"running", "shipping"}}
FIGURES = {
    "metrics",
    "scored_predictions",
    "intervals",
    "thresholds",
    "calibration",
    "resampling",
}
# What is exported is opened as predicting opens it.
BUILT_ON = {"export": {"inference"}}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}

SOURCES = sorted(CODE.rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for module in modules if module.startswith("core.")}


def imports_at_the_top(module: str, seen: set[str]) -> set[str]:
    """Names of all modules that importing `module` imports, of this project and of others."""
    seen.add(module)
    path = CODE / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    for name in [name for name in names if name.startswith("core") and name not in seen]:
        names |= imports_at_the_top(name, seen)
    return names


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_room_imports_the_foundation_and_itself(path):
    parts = path.relative_to(CODE).parts
    if parts[0] != "core" or len(parts) < 3:
        return
    room = parts[1]
    if room in COMPOSERS:
        forbidden = set(COMPOSERS) - COMPOSERS[room] - {room}
        for module in imported_modules(path):
            assert module.split(".")[1] not in forbidden, f"{named(path)} imports {module}"
        return
    for module in imported_modules(path):
        _, target, *rest = module.split(".")
        allowed = target in FOUNDATION or target == room or target in BUILT_ON.get(room, ())
        if room in REPORTING:
            allowed = allowed or (target == "training" and rest and rest[0] in FIGURES)
        assert allowed, f"{named(path)} imports {module}"


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=named)
def test_what_lies_beside_the_rooms_composes_nothing(path):
    for module in imported_modules(path):
        assert module.split(".")[1] not in COMPOSERS, f"{named(path)} imports {module}"


@pytest.mark.parametrize("name", sorted(FOUNDATION))
def test_the_foundation_stands_on_itself_alone(name):
    for module in imported_modules(CORE / f"{name}.py"):
        assert module.split(".")[1] in FOUNDATION, f"{name} imports {module}"


@pytest.mark.parametrize(
    "path", [CODE / "predict.py", *sorted((CORE / "inference").glob("*.py"))], ids=named
)
def test_an_exported_model_is_asked_without_torch(path):
    module = ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__init__")
    imported = imports_at_the_top(module, set())
    assert not {name.split(".")[0] for name in imported} & {"torch", "timm", "albumentations"}


def test_a_trained_model_is_asked_without_what_takes_seconds_to_import():
    imported = imports_at_the_top("core.shipping.trained_model", set())
    assert not {name.split(".")[0] for name in imported} & {"sklearn", "pandas", "albumentations"}


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_files_hold_one_subject(path):
    lines = path.read_text().count("\n")
    assert lines <= 250, f"{named(path)} has {lines} lines"
    if path.parent == CODE:
        assert lines <= 60, f"entry point {named(path)} has {lines} lines"
    assert not VAGUE & {path.stem, *path.relative_to(CODE).parts}


def test_standard_code_module_is_not_shadowed():
    assert not (CODE / "__init__.py").exists()
    assert hasattr(standard_code, "InteractiveConsole")


def test_top_level_holds_what_it_should():
    allowed = {"code", "config", "experiments", "tests", "requirements.txt", "README.md"}
    allowed |= {"pyproject.toml", "data"}
    found = {entry.name for entry in REPOSITORY.iterdir() if not entry.name.startswith(".")}
    assert found <= allowed


def test_requirements_are_pinned():
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            assert line.count("==") == 1, line
