"""Make torchvision's Python part importable beside a CPU build of torch. Import before timm.

The package registry's torchvision wheel is built against another torch build, so its compiled
operators may fail to load, and then `import torchvision`, hence `import timm`, raises `operator
torchvision::nms does not exist`. torchvision only needs the operators' schemas to import; on a
matching build its own library defines them and this module does nothing.
"""

import importlib.util
from contextlib import suppress
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


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


if not _own_operators_load():
    # Kept, because the schemas go when the library does.
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}{_SCHEMA}")
