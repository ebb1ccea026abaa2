"""From a trained model and images to a file of predictions."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from core.data.image_header import EXTENSIONS
from core.data.images import read_image
from core.errors import InputError
from core.inference.image_list import ImageList
from core.inference.predictor import Ensemble, Flips, Predictor
from core.inference.row_files import check_output, write_rows
from core.inference.stream import predict_images

RESULTS_DIR = Path("experiments/results")


@dataclass(frozen=True)
class PredictionOptions:
    """How the images are predicted: at which thresholds, seen how often, how many at once."""

    output: Path
    flips: bool = False
    default_thresholds: bool = False
    batch_size: int = 16


@dataclass(frozen=True)
class Outcome:
    """How many images there were, and how many of them could not be predicted."""

    num_images: int
    num_errors: int


def predict_to_file(
    models: Sequence[Path], images: Sequence[str], options: PredictionOptions
) -> Outcome:
    """Predict `images`, which ImageList reads, by one model or the mean of several.

    Raises:
        InputError: a model that cannot be read, models that do not fit, no images, or a file that
            cannot be written. An image that cannot be read is reported in its row instead.
    """
    check_output(options.output)
    _check_images(images)
    listed = ImageList(images, EXTENSIONS, sys.stdin)
    members = [open_model(path) for path in models]
    predictor = members[0] if len(members) == 1 else Ensemble(members)
    if options.flips:
        predictor = Flips(predictor)
    signature = predictor.signature
    read = partial(read_image, image_size=signature.image_size, channels=signature.channels)
    rows = tqdm(
        predict_images(predictor, listed, read, options.batch_size),
        total=listed.total,
        unit="image",
        disable=None,  # off unless standard error is a terminal
    )
    shown = signature.at_default() if options.default_thresholds else signature
    num_errors = write_rows(options.output, rows, shown)
    return Outcome(rows.n, num_errors)


def open_model(path: Path) -> Predictor:
    """The model of an experiment, by its folder or its name in experiments/results.

    Raises:
        InputError: no model is there.
    """
    place = path if path.exists() else RESULTS_DIR / path
    # Here and not above: torch takes seconds to import, and an exported model does without.
    from core.trained_model import TrainedModel

    return TrainedModel(place)


def _check_images(images: Sequence[str]) -> None:
    for word in images:
        if (Path(word) / "results.json").is_file():
            raise InputError(
                f"{word} is an experiment and holds no images: to average its model with the "
                f"first, give --ensemble {word}"
            )
