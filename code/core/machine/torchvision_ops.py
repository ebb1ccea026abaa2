"""Make torchvision importable beside a CPU build of torch, and timm in less time.

Import this module before either of them.

The package registry's torchvision wheel is built against another torch build, so its compiled
operators may fail to load, and then `import torchvision`, hence `import timm`, raises `operator
torchvision::nms does not exist`. torchvision only needs the operators' schemas to import; on a
matching build its own library defines them and this module does nothing about them.
"""

import importlib
import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_COMPILER = ("torch._dynamo", "torch._dynamo.utils")
# Where it is installed, timm imports it for the log of its own training script.
_TRACKER = "wandb"


def _own_operators_load() -> bool:
    """Whether torchvision's compiled operators exist once its own library is loaded."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for library in Path(spec.origin).parent.glob("_C*.so"):
        with suppress(OSError, RuntimeError):
            torch.ops.load_library(str(library))
    try:
        return hasattr(torch.ops.torchvision, "nms")
    except RuntimeError:
        return False


class _Later(ModuleType):
    """Stands in for a module of torch's compiler, and imports it when something of it is used.

    Importing the compiler takes as long as importing torch. torchvision and timm ask for two
    functions of it while they are imported, and predicting calls neither.
    """

    def disable(self, fn: Any = None, recursive: bool = True, **reason: Any) -> Any:
        return torch._disable_dynamo(fn, recursive)  # which torch itself uses to import it later

    def is_compile_supported(self, device_type: Any) -> Any:
        return self.__getattr__("is_compile_supported")(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # which `import` and `inspect` ask of any module
            raise AttributeError(name)
        _remove_stand_ins()
        return getattr(importlib.import_module(self.__name__), name)


def _remove_stand_ins() -> None:
    for name in _COMPILER:
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]


def _import_timm() -> None:
    if sys.modules.keys() & {"timm", *_COMPILER}:
        return
    sys.modules.update({name: _Later(name) for name in _COMPILER})
    sys.modules.setdefault(_TRACKER, None)  # as if it were not installed
    try:
        # Another version may import more of the compiler: that fails, and succeeds without these.
        with suppress(ImportError):
            importlib.import_module("timm")
    finally:
        _remove_stand_ins()
        if sys.modules[_TRACKER] is None:
            del sys.modules[_TRACKER]


if not _own_operators_load():
    # Kept, because the schemas go when the library does.
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}{_SCHEMA}")
_import_timm()
