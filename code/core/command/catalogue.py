"""Models, losses and the like in plain values: from their registries, or the user's cache.

Importing the registries takes seconds, because their components import torch. What the command
line has to know about them is therefore kept from one command to the next, under a key of all code
of this project and of the installed packages.
"""

import functools
import hashlib
import inspect
import os
import site
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from core.files.user_cache import keep, kept, user_cache_folder
from core.files.writing import to_json

if TYPE_CHECKING:
    from core.registry import Registry

CODE = Path(__file__).parents[2]
_ROOMS = {
    "model": "core.models",
    "loss": "core.losses",
    "method": "core.pretraining.methods",
    "detector": "core.novelty.detectors",
}


@dataclass(frozen=True)
class Component:
    """What is known about a model, a loss, a method or a detector, without importing it.

    `properties` has the JSON Schema of each parameter.
    """

    description: str
    explanation: str
    defaults: dict[str, Any]
    properties: dict[str, dict[str, Any]]
    learns_masks: bool


def registry_of(group: str) -> "Registry[Any]":
    """The registry of `model`, `loss`, `mask_loss`, `method` or `detector`. Imports torch."""
    return import_module(f"{_room(group)}.registry").get_registry()


def offered(group: str) -> dict[str, Component]:
    """The components of a group, by their names."""
    if _is_imported(group):
        return _described(group)
    return _remembered()[_of(group)]


def clash(group: str, name: str) -> str | None:
    """That two files register the name, which is therefore not available; else None."""
    offered(group)
    return registry_of(group).clashes.get(name) if _is_imported(group) else None


def why_missing(group: str, name: str) -> str | None:
    """That a broken file mentions the name, which is therefore not known; else None."""
    offered(group)
    return registry_of(group).why_missing(name) if _is_imported(group) else None


def _of(group: str) -> str:
    return "loss" if group == "mask_loss" else group


def _room(group: str) -> str:
    return _ROOMS[_of(group)]


def _is_imported(group: str) -> bool:
    return _room(group) in sys.modules


def _described(group: str) -> dict[str, Component]:
    registry = registry_of(group)
    return {
        name: _component(registry.get(name), registry.parameters(name), registry.description(name))
        for name in registry
    }


@functools.cache
def _component(cls: type, parameters: type[BaseModel], description: str) -> Component:
    fields = parameters.model_fields
    defaults = {key: "???" if f.is_required() else f.default for key, f in fields.items()}
    try:
        with warnings.catch_warnings(action="ignore"):  # of a default that JSON cannot hold
            properties = parameters.model_json_schema().get("properties", {})
    except PydanticUserError:  # JSON has no such type
        properties = {key: {"description": f.description or ""} for key, f in fields.items()}
    explanation, learns_masks = inspect.getdoc(cls) or "", not getattr(cls, "index_targets", True)
    return Component(description, explanation, to_json(defaults), properties, learns_masks)


@functools.cache
def _remembered() -> dict[str, dict[str, Component]]:
    """What was kept, if that is still right; else what the registries say, which is then kept."""
    place = hashlib.sha256(os.fsencode(f"{CODE}\n{sys.prefix}")).hexdigest()[:16]
    file, key = user_cache_folder() / f"components_{place}.json", _key()
    content = kept(file, key)
    if content is None:
        content = {
            group: {name: asdict(each) for name, each in _described(group).items()}
            for group in _ROOMS
        }
        # A file that was changed meanwhile may have been imported before or after.
        if _is_complete() and _key() == key:
            keep(file, key, content)
    return {
        group: {name: Component(**values) for name, values in components.items()}
        for group, components in content.items()
    }


def _key() -> str:
    """A digest of all that the registries depend on: this project's code, and the packages."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(CODE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(CODE)} {len(content)}\n".encode() + content)
    for folder in _package_folders():
        names = sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208
        digest.update("\n".join(name for name in names if name.endswith("-info")).encode())
    return digest.hexdigest()


def _package_folders() -> Iterator[Path]:
    yield from map(Path, [*site.getsitepackages(), site.getusersitepackages()])


def _is_complete() -> bool:
    """Whether the key covers all that was imported, and no file of a component is broken."""
    if any(registry_of(group).broken or registry_of(group).clashes for group in _ROOMS):
        return False
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    covered = tuple(f"{folder}{os.sep}" for folder in [CODE, *standard, *_package_folders()])
    specs = (vars(module).get("__spec__") for module in list(sys.modules.values()) if module)
    return all(s.origin.startswith(covered) for s in specs if s and s.has_location)
