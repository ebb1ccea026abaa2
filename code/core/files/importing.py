"""Import every file of a room, though one of them is broken."""

import importlib
import logging
import multiprocessing
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import described, raised_at
from core.registry import Registry

log = logging.getLogger(__name__)


def import_files(package: str, path: Iterable[str], registry: Registry[Any]) -> None:
    """Import every file of the package; warn about each one that is broken, in one line.

    A broken file stops only those who ask the registry for what that file may hold. So does a name
    that two files register.
    """
    registry.importing = True
    for found in pkgutil.iter_modules(path):
        module = f"{package}.{found.name}"
        try:
            importlib.import_module(module)
            for name in _registered_by(module, registry):
                registry.defaults(name)
        except Exception as error:
            file = Path(found.module_finder.path) / f"{found.name}.py"
            place = raised_at(error, [str(file)]) or file
            registry.broken[file] = f"{place}: {described(error)}"
            for name in _registered_by(module, registry):
                registry.unregister(name)
    registry.importing = False
    # Processes that this one starts would repeat it.
    if multiprocessing.parent_process() is None:
        for problem in registry.broken.values():
            log.warning("%s: what this file registers is not available", problem)
        for problem in registry.clashes.values():
            log.warning("%s", problem)


def _registered_by(module: str, registry: Registry[Any]) -> list[str]:
    return [name for name in registry if registry.get(name).__module__ == module]
