"""From a trained model and images to pictures of where it looks, scored on the true masks."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.data.image_folder import EXTENSIONS
from core.errors import InputError
from core.experiments.finding import find_experiment
from core.experiments.folder import make_unused_folder
from core.explaining.album import Album, Explanation
from core.explaining.methods import check_method, default_method, heat_maps
from core.explaining.scores import Scoreboard, as_text
from core.explaining.true_masks import ReadCorrections, TrueMasks
from core.files.threads import map_in_threads
from core.files.writing import make_empty_folder, write_json
from core.predicting.image_list import ImageList, check_no_models
from core.predicting.predictor import predict_in_batches
from core.predicting.stream import read_strip
from core.predicting.trained_model import TrainedModel

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
# Images in one call of the model while deletion and insertion are measured.
BATCH_SIZE = 8


@dataclass(frozen=True)
class ExplanationOptions:
    """How the images are explained, by default by `default_method`, and the folder for it."""

    method: str | None = None
    output: Path | None = None
    data_root: Path | None = None
    curve_steps: int = 10


def explain(
    experiment: Path,
    images: Sequence[str],
    options: ExplanationOptions,
    read_corrections: ReadCorrections,
) -> Path:
    """Explain `images`, by default the test strips with a mask, and return the folder written to.

    Without `options.output` it is a new folder in the experiment.

    Raises:
        InputError: no completed experiment, a method that its model does not know, no images, or
            an image that cannot be read.
    """
    check_no_models(images, "explain one experiment at a time")
    trained = TrainedModel(find_experiment(experiment))
    names = trained.signature.class_names
    true_masks = TrueMasks(trained, read_corrections, options.data_root)
    paths = _paths(trained, true_masks, images)
    method = options.method or default_method(trained)
    check_method(trained, method)  # before any folder is made
    folder = _output_folder(trained.experiment.path, method, options.output)
    album = Album(folder, method, names, trained.signature.thresholds)
    predict = partial(predict_in_batches, trained, batch_size=BATCH_SIZE)
    scoreboard, rows = Scoreboard(method, predict, names, options.curve_steps), []
    for path in tqdm(paths, unit="image", disable=None):
        pixels = read_strip(path, trained.signature)
        maps = heat_maps(trained, method, pixels)
        probabilities = trained(pixels[None])[0]
        explanation = Explanation(path, pixels, probabilities, maps, true_masks.of(path))
        album.add(explanation)
        if explanation.masks is not None:
            scoreboard.add(pixels, explanation.masks, maps)
        rows.append(_row(explanation, names))
    album.finish()
    scores = scoreboard.report() if scoreboard.num_images else None
    images_text = "1 image" if len(rows) == 1 else f"{len(rows)} images"
    log.info("%s explained by %s, %d scored on masks", images_text, method, scoreboard.num_images)
    if scores:
        log.info("%s", as_text(scores))
    about = {"schema_version": SCHEMA_VERSION, "model": trained.signature.model, "method": method}
    write_json(folder / "explanation.json", {**about, "scores": scores, "images": rows})
    return folder


def _paths(trained: TrainedModel, true_masks: TrueMasks, images: Sequence[str]) -> list[Path]:
    paths = [Path(word) for word in ImageList(images, EXTENSIONS, sys.stdin)]
    if not paths:
        paths = true_masks.paths("test")
    if not paths:
        raise InputError(
            f"{trained.experiment.path}: no image is named, and the masks of its test strips are "
            "not available: name images, or give --data-root"
        )
    # Before any folder is made: one bad image would leave it half-written.
    for _ in map_in_threads(partial(read_strip, signature=trained.signature), paths):
        pass
    return paths


def _row(explanation: Explanation, names: Sequence[str]) -> dict[str, Any]:
    return {
        "image": str(explanation.path),
        "probabilities": dict(zip(names, explanation.probabilities.tolist(), strict=True)),
        "shown": None if explanation.masks is None else [names[c] for c in explanation.present],
    }


def _output_folder(experiment: Path, method: str, output: Path | None) -> Path:
    if output is None:
        return make_unused_folder(experiment, f"explanation_{method}")
    make_empty_folder(output, "--output")
    return output
