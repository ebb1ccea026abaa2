"""The rooms of the project: models, losses, augmentation, data, training, analysis and others."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def imported_when_asked(room: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a room that offers these names, each from the module given for it.

    A name that needs no torch is then imported without it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return get
