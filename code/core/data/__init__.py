"""Data sets of strips: reading, checking, splitting and batching them."""

from importlib import import_module
from typing import Any

# Imported when they are asked for: what needs no torch imports none.
_HOMES = {
    "DataSettings": "settings",
    "LabelTable": "label_table",
    "StratifiedSplitter": "splitting",
    "StripDataset": "dataset",
    "find_duplicate_pairs": "duplicates",
    "make_loader": "loaders",
    "open_images": "image_cache",
    "read_image": "images",
    "read_label_table": "annotations",
    "read_split": "split_file",
    "split_by_strategy": "splitting",
    "stratified_folds": "splitting",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
