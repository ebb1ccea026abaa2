"""The walls of the house, read from the imports."""

import ast
import code as standard_code
import graphlib
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

CODE = REPOSITORY / "code"
CORE = CODE / "core"
LOOSE = {"registry", "errors", "validation"}
# A function of core/__init__.py too, by which a room offers its names.
GROUND = LOOSE | {"files", "machine", "imported_when_asked"}
SHIPPING = GROUND | {"models", "metrics", "experiments", "data"}
# Which rooms a room may import, beside itself. What is not named here composes: the entry points,
# the benchmarks, `running`, `pretraining`, `novelty` and `search` may import any room, and no other
# room imports them.
WALLS = {
    **dict.fromkeys(("files", "machine"), GROUND),
    **dict.fromkeys(("models", "losses", "augmentation", "data", "synthetic", "metrics"), GROUND),
    "training": GROUND | {"metrics"},
    "experiments": GROUND | {"metrics"},
    "analysis": GROUND | {"metrics", "experiments"},
    "workbench": GROUND
    | {"experiments", "analysis", "command", "data", "metrics", "review"}
    # In a child process, where a page asks for heat maps.
    | {"explaining", "predicting"},
    "review": GROUND | {"data", "experiments", "metrics", "analysis"},
    "autotuning": GROUND,
    "predicting": SHIPPING | {"autotuning"},
    "exporting": SHIPPING | {"predicting", "synthetic"},
    "explaining": SHIPPING | {"predicting"},
    "similarity": SHIPPING | {"predicting", "explaining"},
    "command": GROUND
    | {"models", "losses", "augmentation", "data", "training", "metrics", "experiments"},
}
COMPOSING = {"running", "pretraining", "novelty", "search"}
# The loop, and what it is made of, serve every kind of learning.
GENERAL = ("trainer", "task", "learner", "checkpoint", "progress", "epoch_progress")
SPECIAL = re.compile(r"f1|masks?|labels?|class_names?|classes|classification|auroc", re.IGNORECASE)
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
NO_TORCH = ("metrics", "analysis", "workbench", "review")
SOURCES = sorted(CODE.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


def packages_of(path: Path) -> set[str]:
    """The packages that importing the module in `path` imports."""
    module = ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__init__")
    return {name.split(".")[0] for name in imports_at_the_top(module, set())}


def test_every_room_has_its_walls():
    rooms = {path.name for path in CORE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(WALLS) | COMPOSING
    loose = {path.stem for path in CORE.glob("*.py")} - {"__init__"}
    assert loose == LOOSE


def test_a_room_imports_the_ground_floor_itself_and_what_its_walls_allow():
    offenders = []
    for path in SOURCES:
        parts = path.relative_to(CODE).parts
        if parts[0] != "core" or (parts[-1] == "__init__.py" and len(parts) == 2):
            continue
        room = parts[1] if len(parts) > 2 else path.stem
        allowed = WALLS.get(room, LOOSE if room in LOOSE else None)
        for module in imported_modules(path):
            outer, *inner = module.split(".")
            if outer == "benchmarks" or (
                allowed is not None and (outer == "core" and inner[0] not in allowed | {room})
            ):
                offenders.append(f"{named(path)} imports {module}")
    assert not offenders


def test_the_loop_knows_no_word_of_one_kind_of_learning():
    offenders = []
    for name in GENERAL:
        path = CORE / "training" / f"{name}.py"
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            for word in re.findall(r"[A-Za-z0-9]+(?:_[a-z0-9]+)*", token.string):
                parts = {word, *word.split("_")}
                if any(SPECIAL.fullmatch(part) for part in parts):
                    offenders.append(f"{named(path)}:{token.start[0]} says {word}")
    assert not offenders


def test_a_training_step_touches_few_files():
    """The modules of training whose functions run between two batches."""
    training = {
        module.split(".")[2]
        for path in (CORE / "training" / "trainer.py", CORE / "training" / "task.py")
        for module in imported_modules(path)
        if module.startswith("core.training.")
    }
    between_epochs = {"callbacks", "checkpoint", "data_workers", "progress",
                      "seeding", "settings"}  # fmt: skip
    step = {"trainer"} | training - between_epochs
    # The sixth is machine/distributed.py; the fifth is the task's own, and its objective.
    assert step == {"trainer", "task", "learner", "epoch_progress"}


@pytest.mark.slow
@pytest.mark.parametrize("room", NO_TORCH)
def test_what_needs_no_torch_imports_none(room):
    heavy = {"torch", "timm", "albumentations"}
    offenders = [named(p) for p in sorted((CORE / room).glob("*.py")) if packages_of(p) & heavy]
    assert not offenders


def test_an_exported_model_is_asked_without_torch():
    heavy = {"torch", "timm", "albumentations"}
    for path in (CODE / "predict.py", CORE / "predicting" / "prediction.py"):
        assert not packages_of(path) & heavy


def test_a_trained_model_is_asked_without_what_takes_seconds_to_import():
    packages = packages_of(CORE / "predicting" / "trained_model.py")
    assert not packages & {"sklearn", "pandas", "albumentations"}


def test_files_hold_one_subject():
    offenders = []
    for path in SOURCES:
        lines = path.read_text().count("\n")
        most = 60 if path.parent == CODE else 250
        if lines > most:
            offenders.append(f"{named(path)} has {lines} lines, more than {most}")
        if VAGUE & {path.stem, *path.relative_to(CODE).parts}:
            offenders.append(f"{named(path)}: name the subject")
    assert not offenders


def test_the_loop_is_one_page():
    assert (CORE / "training" / "trainer.py").read_text().count("\n") <= 230


def test_standard_code_module_is_not_shadowed():
    assert not (CODE / "__init__.py").exists()
    assert hasattr(standard_code, "InteractiveConsole")


def test_top_level_holds_what_it_should():
    allowed = {"code", "config", "experiments", "tests", "requirements.txt", "README.md"}
    allowed |= {"pyproject.toml", "data"}
    # What commands have left there, such as model.onnx, is not of the project.
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        found = {file.partition("/")[0] for file in listed.stdout.splitlines()}
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout of it
        found = {entry.name for entry in REPOSITORY.iterdir()}
    found = {name for name in found if not name.startswith(".")}
    assert "code" in found
    assert found <= allowed, f"belongs to no top level, or into .gitignore: {found - allowed}"


def test_requirements_are_pinned():
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            assert line.count("==") == 1, line


def test_no_files_import_each_other():
    """Not even for their types alone, or within a function."""
    files = {".".join(path.relative_to(CODE).with_suffix("").parts): path for path in SOURCES}
    graph = {}
    for module, path in files.items():
        names = set(imported_modules(path))
        graph[module] = {n for n in names | {n.rpartition(".")[0] for n in names} if n in files}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
