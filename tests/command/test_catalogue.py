"""What the command line knows about models, losses and others without importing them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from core.command.catalogue import offered

GROUPS = ("model", "loss", "method", "detector")
SCRIPT = """
import json, sys
from dataclasses import asdict
sys.path.insert(0, "code")
from core.command.catalogue import offered
groups = ("model", "loss", "method", "detector")
known = {g: {n: asdict(each) for n, each in offered(g).items()} for g in groups}
print(json.dumps([known, "core.models" in sys.modules]))
"""
ROOM = """\
from core.files.importing import import_files
from core.{room}.registry import get_registry
import_files(__name__, __path__, get_registry())
"""
REGISTRY = """\
from core.registry import Registry
_registry = Registry(name="{room}")
def get_registry():
    return _registry
"""
COMPONENT = """\
from torch import nn
from core.{room}.registry import get_registry
@get_registry().register("{name}")
class Sample(nn.Module):
    \"\"\"A sample.\"\"\"
    index_targets = False
    def __init__(self, width: int = 4):
        pass
"""


@dataclass
class Project:
    """A copy of what the command line imports, with one component of each kind.

    Its torch is a single class: the real one would take seconds in each process.
    """

    folder: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def add(self, room: str, name: str, text: str = COMPONENT) -> Path:
        path = f"code/core/{room.replace('.', '/')}/{name}.py"
        return self.write(path, text.format(room=room, name=name))

    def ask(self) -> tuple[dict[str, Any], bool]:
        """What a new process is offered, and whether it imported components for that."""
        environment = {
            "PYTHONPATH": str(self.folder / "elsewhere"),
            "PYTHONUSERBASE": str(self.folder / "user"),
            "XDG_CACHE_HOME": str(self.cache),
            # Python would take a file of the same size and time for unchanged.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        known, imported = json.loads(ended.stdout.splitlines()[-1])
        return known, imported

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def kept(self) -> Path:
        (file,) = (self.cache / "steel_defects").iterdir()
        return file


@pytest.fixture
def project(tmp_path) -> Project:
    project = Project(tmp_path)
    core, copied = REPOSITORY / "code/core", tmp_path / "code/core"
    for room in ("command", "files"):
        shutil.copytree(core / room, copied / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__", "errors", "registry", "validation"):
        shutil.copy(core / f"{file}.py", copied)
    project.write("code/torch/__init__.py", "")
    project.write("code/torch/nn.py", "class Module:\n    pass\n")
    rooms = {
        "models": "net",
        "losses": "distance",
        "pretraining.methods": "pair",
        "novelty.detectors": "bank",
    }
    for room, name in rooms.items():
        project.add(room, "__init__", ROOM)
        project.add(room, "registry", REGISTRY)
        project.add(room, name)
    return project


def test_it_is_the_same_after_it_was_kept():
    for group in GROUPS:
        for component in offered(group).values():
            known = asdict(component)
            assert json.loads(json.dumps(known)) == known


def test_the_second_command_imports_no_component(project):
    first, imported = project.ask()
    assert imported
    assert first["model"]["net"]["defaults"] == {"width": 4}
    assert first["loss"]["distance"]["learns_masks"]
    assert project.ask() == (first, False)


@pytest.mark.slow
def test_a_change_is_seen_at_once(project):
    project.ask()
    project.add("models", "other")
    known, imported = project.ask()
    assert imported
    assert known["model"].keys() == {"net", "other"}
    # Of the same size, and of the same time as after some ways of copying.
    net = project.folder / "code/core/models/net.py"
    times = net.stat()
    net.write_text(net.read_text().replace("= 4", "= 5"))
    os.utime(net, ns=(times.st_atime_ns, times.st_mtime_ns))
    known, imported = project.ask()
    assert imported
    assert known["model"]["net"]["defaults"] == {"width": 5}
    net.unlink()
    assert project.ask()[0]["model"].keys() == {"other"}
    assert not project.ask()[1]


@pytest.mark.slow
def test_another_version_of_a_package_is_seen(project):
    project.ask()
    assert not project.ask()[1]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    project.write(f"user/lib/{version}/site-packages/timm-9.0.dist-info/METADATA", "")
    assert project.ask()[1]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["cut", "edited", "empty"])
def test_a_damaged_file_is_made_anew(project, change):
    first, _ = project.ask()
    text = project.kept.read_text()
    damaged = {"cut": text[:-9], "edited": text.replace(": 4", ": 7"), "empty": ""}[change]
    project.kept.write_text(damaged)
    assert project.ask() == (first, True)
    assert project.kept.read_text() == text
    assert project.ask() == (first, False)


def test_nothing_is_kept_of_a_broken_file(project):
    broken = project.add("losses", "broken", "import nowhere\n")
    first, _ = project.ask()
    assert not project.cache.exists()
    broken.unlink()
    assert project.ask() == (first, True)


def test_nothing_is_kept_of_code_that_may_change_unnoticed(project):
    project.write("elsewhere/mine.py", "")
    project.add("models", "theirs", f"import mine\n{COMPONENT}")
    assert project.ask()[0]["model"].keys() == {"net", "theirs"}
    assert not project.cache.exists()


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_stops_nobody(project):
    project.cache.write_text("a file where a folder is needed")
    assert project.ask() == project.ask()
    assert project.ask()[1]
