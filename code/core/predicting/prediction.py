"""From a trained model and images to a file of predictions."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from core.data.image_folder import EXTENSIONS
from core.errors import InputError
from core.experiments.finding import find_experiment
from core.experiments.reading import read_experiment
from core.predicting.bundle import open_bundle
from core.predicting.image_list import ImageList, check_no_models
from core.predicting.onnx_model import OnnxModel
from core.predicting.onnx_trial import open_untrusted
from core.predicting.outcome import Outcome
from core.predicting.predictor import Ensemble, Flips, Predictor
from core.predicting.row_files import check_output, write_rows
from core.predicting.signature import Signature
from core.predicting.stream import Row, predict_images, read_strip

PassOn = Callable[[Iterable[Row]], Iterator[Row]]


class AddsColumns(Protocol):
    """What adds cells to rows; `names` are those of the columns."""

    names: Sequence[str]

    def added(self, rows: Iterable[Row], signature: Signature) -> Iterator[Row]:
        """The same rows, with their cells; `signature` says how their pixels were read."""
        ...


@dataclass(frozen=True)
class PredictionOptions:
    """How the images are predicted; `overlay` is a folder for pictures, which `draw` makes.

    With `force`, `output` may replace a file that is not one of predictions.
    """

    output: Path
    flips: bool = False
    default_thresholds: bool = False
    batch_size: int = 16
    overlay: Path | None = None
    force: bool = False


def predict_to_file(
    models: Sequence[Path],
    images: Sequence[str],
    options: PredictionOptions,
    draw: Callable[[Predictor, Signature], PassOn] | None = None,
    columns: AddsColumns | None = None,
) -> Outcome:
    """Predict `images`, which ImageList reads, by one model or the mean of several.

    `draw` takes the model and the signature with the thresholds in use. It returns a function that
    draws each row and passes it on. `columns` adds further ones.

    Raises:
        InputError: a model that cannot be read, models that do not fit, no images, or a file that
            cannot be written. An image that cannot be read is reported in its row instead.
    """
    check_output(options.output, options.force)
    check_no_models(images, "to average it with the first model, name it after --ensemble")
    listed = ImageList(images, EXTENSIONS, sys.stdin)
    members = [open_model(path, listed.total or 0) for path in models]
    model = members[0] if len(members) == 1 else Ensemble(members)
    predictor = Flips(model) if options.flips else model
    signature = predictor.signature
    decided_by = signature.at_default() if options.default_thresholds else signature
    if options.overlay:
        _check_overlay(model, options.overlay)
    drawn = draw(model, decided_by) if draw else iter
    read = partial(read_strip, signature=signature)
    rows = tqdm(
        predict_images(predictor, listed, read, options.batch_size),
        total=listed.total,
        unit="image",
        disable=None,  # off unless standard error is a terminal
    )
    if columns is None:
        return write_rows(options.output, drawn(rows), decided_by)
    added = columns.added(drawn(rows), signature)
    return write_rows(options.output, added, decided_by, columns.names)


def open_model(path: Path | str, num_images: int = 0) -> Predictor:
    """The model of an experiment, by its folder or name, or an exported one: .onnx, or a bundle.

    The models of a cross-validation are averaged. For many images, given by `num_images`, the
    memory layout of a network is the fastest one.

    Raises:
        InputError: no model is there.
    """
    path = Path(path)
    if path.suffix in (".onnx", ".zip") and not path.is_dir():
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected what code/export.py wrote")
        return open_untrusted(path, str(path)) if path.suffix == ".onnx" else open_bundle(path)
    folder = find_experiment(path)
    # Imported here because exported models are used where torch is not installed.
    from core.predicting.fastest_layout import FastestLayout

    if folds := read_experiment(folder).look_up("folds"):
        return Ensemble([FastestLayout(folder / fold["name"], num_images) for fold in folds])
    return FastestLayout(folder, num_images)


def _check_overlay(model: Predictor, folder: Path) -> None:
    """Raises InputError for a model that cannot show where it looks."""
    if isinstance(model, Ensemble):
        raise InputError(
            f"--overlay {folder}: shows where one model looks, and this is the mean of "
            f"{len(model.members)}: name the experiment of one of them alone"
        )
    if isinstance(model, OnnxModel):
        raise InputError(
            f"--overlay {folder}: an exported model returns probabilities only: name the "
            f"experiment that it was exported from ({model.signature.model})"
        )
