"""From a trained model and images to pictures of where it looks, scored on the true masks."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from core.data.image_header import EXTENSIONS
from core.data.images import check_header, read_image
from core.errors import InputError
from core.experiments.folder import make_unused_folder
from core.experiments.predictions import read_predictions
from core.experiments.reading import find_experiment
from core.explaining.album import Album, Explained
from core.explaining.overlays import check_method, heat_maps, usual_method
from core.explaining.scoreboard import Scoreboard, maps_by_class
from core.explaining.true_masks import TrueMasks
from core.files.writing import make_empty_folder, write_json
from core.predicting.image_list import ImageList
from core.predicting.trained_model import TrainedModel

SCHEMA_VERSION = 1
# Images in one call of the model while deletion and insertion are measured.
BATCH_SIZE = 8


@dataclass(frozen=True)
class ExplanationOptions:
    """How the images are explained, by default as `usual_method` says, and where to."""

    method: str | None = None
    output: Path | None = None
    data_root: Path | None = None
    curve_steps: int = 10


def explain(experiment: Path, images: Sequence[str], options: ExplanationOptions) -> Path:
    """Explain `images`, by default the test strips with a mask, and return the folder of it all.

    Without `options.output` that is a folder of the experiment.

    Raises:
        InputError: no completed experiment, a method that its model does not know, no images, or
            an image that cannot be read.
    """
    trained = TrainedModel(find_experiment(experiment))
    names = trained.signature.class_names
    true_masks = TrueMasks(trained.experiment, options.data_root)
    paths = _paths(trained, true_masks, images)
    method = options.method or usual_method(trained)
    check_method(trained, method)  # before any folder is made
    folder = _output_folder(trained.experiment.path, method, options.output)
    album = Album(folder, method, names, trained.signature.thresholds)
    scoreboard = Scoreboard(names, options.curve_steps)
    rows = []
    for path in tqdm(paths, unit="image", disable=None):
        explained = explain_image(trained, method, path, true_masks.of(path))
        album.add(explained)
        if explained.masks is not None:
            maps = maps_by_class(method, explained.maps, names)
            scoreboard.add(_in_batches(trained), explained.pixels, explained.masks, maps)
        rows.append(_row(explained, names))
    album.finish()
    report = {
        "schema_version": SCHEMA_VERSION,
        "model": trained.signature.model,
        "method": method,
        "scores": scoreboard.report() if scoreboard.num_images else None,
        "images": rows,
    }
    write_json(folder / "explanation.json", report)
    return folder


def explain_image(
    trained: TrainedModel, method: str, path: Path, masks: np.ndarray | None
) -> Explained:
    """Predict and explain one image. Raises InputError where it is unreadable."""
    size, channels = trained.signature.image_size, trained.signature.channels
    read = read_image(path, size, channels)
    pixels = np.ascontiguousarray(read[None] if read.ndim == 2 else read.transpose(2, 0, 1))
    maps = heat_maps(trained, method, pixels)
    return Explained(path, pixels, trained(pixels[None])[0], maps, masks)


def _paths(trained: TrainedModel, true_masks: TrueMasks, images: Sequence[str]) -> list[Path]:
    paths = [Path(word) for word in ImageList(images, EXTENSIONS, sys.stdin)]
    if not paths:
        paths = true_masks.paths(read_predictions(trained.experiment).image_ids)
    if not paths:
        raise InputError(
            f"{trained.experiment.path}: no image named, and no masks of its test strips are at "
            "hand: name images, or give --data-root"
        )
    for path in paths:
        check_header(path, trained.signature.image_size)
    return paths


def _in_batches(trained: TrainedModel):
    def ask(images: np.ndarray) -> np.ndarray:
        starts = range(0, len(images), BATCH_SIZE)
        return np.concatenate([trained(images[i : i + BATCH_SIZE]) for i in starts])

    return ask


def _row(explained: Explained, names: Sequence[str]) -> dict[str, Any]:
    return {
        "image": str(explained.path),
        "probabilities": dict(zip(names, explained.probabilities.tolist(), strict=True)),
        "shown": None if explained.masks is None else [names[c] for c in explained.present],
    }


def _output_folder(experiment: Path, method: str, output: Path | None) -> Path:
    if output is None:
        return make_unused_folder(experiment, f"explanation_{method}")
    make_empty_folder(output, "--output")
    return output
