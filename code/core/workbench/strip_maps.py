"""Heat maps and predicted masks of one strip, made in a child process: it imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.errors import InputError
from core.experiments.drawing import COLOUR_MAP, OPACITY
from core.experiments.predictions import PREDICTIONS_FILE
from core.experiments.reading import read_experiment
from core.files.resizing import Resize
from core.files.tables import read_records
from core.workbench.strip_images import as_png, painted
from core.workbench.strip_tables import MODEL_FILE

# A predicted mask is where the probability of a pixel is at least this, as in the report.
_HALF = 0.5
# Of the outline of a predicted mask, in pixels of the image.
_LINE = 3
_MOST_MODELS = 2


@dataclass(frozen=True)
class Map:
    """A heat map as a picture of the whole strip; `mask` outlines what a mask head predicts.

    It is None where nothing is predicted, or by another method.
    """

    name: str
    class_index: int | None
    scale: tuple[float, float]
    heat: bytes
    mask: bytes | None


@dataclass(frozen=True)
class Maps:
    """The maps of one method, and the methods that the model knows."""

    method: str
    methods: Sequence[str]
    maps: Sequence[Map]


def read_maps(experiment: Path, image_id: str, file: Path, method: str) -> Maps:
    """The maps of the image in `file` by this method; "": the default one.

    Raises InputError for no model, another method, or an image that the model does not take.
    """
    folder = _with_model(experiment, image_id)
    if not (folder / MODEL_FILE).is_file():
        raise InputError(f"{folder} has no {MODEL_FILE}: it is no completed training")
    from core.explaining.methods import default_method, heat_maps
    from core.predicting.stream import read_strip

    trained = _trained(folder, (folder / MODEL_FILE).stat().st_mtime_ns)
    pixels, size = read_strip(file, trained.signature), trained.signature.image_size
    chosen = method or default_method(trained)
    methods = _methods(trained.model)
    if chosen not in methods:
        raise InputError(f"method {chosen[:40]}: this model has {', '.join(methods)}")
    place = _place(file, trained.signature.image_format.image_size, size)
    found = [
        _map(heat, place, size, chosen == "mask_head")
        for heat in heat_maps(trained, chosen, pixels)
    ]
    return Maps(chosen, methods, found)


@lru_cache(_MOST_MODELS)
def _trained(experiment: Path, changed_at: int) -> Any:
    from core.predicting.trained_model import TrainedModel

    return TrainedModel(experiment)


def _with_model(path: Path, image_id: str) -> Path:
    """The experiment itself; of a cross-validation, the fold that was tested on the image."""
    if not read_experiment(path).look_up("folds"):
        return path
    for _, row in read_records(path / PREDICTIONS_FILE, ("image_id", "fold")):
        if row["image_id"] == image_id and row["fold"].isdecimal():
            return path / f"fold_{int(row['fold'])}"
    return path


def _methods(model: Any) -> list[str]:
    from core.explaining import METHOD_NAMES

    needed = {"mask_head": "mask_head", "cbam": "attention"}
    return [name for name in METHOD_NAMES if getattr(model, needed.get(name, "stages"), None)]


def _place(file: Path, rule: Any, size: tuple[int, int]) -> tuple[slice, slice]:
    """Where the image lies in what the model takes: a letterbox has black margins."""
    from core.data.images import stored_size

    stored = stored_size(file, rule) if isinstance(rule, Resize) else None
    if stored is None:
        return slice(None), slice(None)
    inner = rule.inner_size(stored)
    starts = [(whole - part) // 2 for whole, part in zip(size, inner, strict=True)]
    rows, columns = (slice(at, at + part) for at, part in zip(starts, inner, strict=True))
    return rows, columns


def _map(heat: Any, place: tuple[slice, slice], size: tuple[int, int], is_mask: bool) -> Map:
    from core.explaining.scores import enlarge

    values = enlarge(heat.values, size)[place]
    low, high = heat.scale or (float(heat.values.min()), float(heat.values.max()))
    share = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    colours = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), COLOUR_MAP)
    opacity = np.round(255 * OPACITY * share).astype(np.uint8)
    mask = None
    if is_mask:
        predicted = (values >= _HALF).astype(np.uint8)
        padded = cv2.copyMakeBorder(predicted, *[_LINE] * 4, cv2.BORDER_CONSTANT)
        inside = cv2.erode(padded, np.ones((2 * _LINE + 1,) * 2, np.uint8))
        edge = predicted - inside[_LINE:-_LINE, _LINE:-_LINE]
        mask = painted(edge, heat.class_index or 0) if predicted.any() else None
    return Map(
        heat.name, heat.class_index, (low, high), as_png(np.dstack([colours, opacity])), mask
    )
