"""Data sets of strips: reading, checking, splitting and batching them."""

from core import imported_when_asked

_HOMES = {
    "DataSettings": "core.data.settings",
    "LabelTable": "core.data.label_table",
    "StratifiedSplitter": "core.data.splitting",
    "StripDataset": "core.data.dataset",
    "find_duplicate_pairs": "core.data.duplicates",
    "make_loader": "core.data.loaders",
    "open_images": "core.data.image_cache",
    "read_image": "core.data.images",
    "read_label_table": "core.data.annotations",
    "read_split": "core.data.split_file",
    "split_by_strategy": "core.data.splitting",
    "stratified_folds": "core.data.splitting",
}
__all__ = list(_HOMES)
__getattr__ = imported_when_asked(__name__, _HOMES)
