"""Predict the defects on images, with an experiment or with its exported model."""

import argparse
import sys
from functools import partial
from pathlib import Path

from core import explaining, novelty
from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.finding import HOW_NAMED
from core.predicting.prediction import PassOn, PredictionOptions, predict_to_file
from core.predicting.predictor import Predictor
from core.predicting.signature import Signature


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    model = f"{HOW_NAMED}; or an exported model.onnx or model.zip, without torch"
    parser.add_argument("model", type=Path, metavar="MODEL", help=model)
    parser.add_argument("images", nargs="+", help="files, folders, globs; -: paths on stdin")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="draw what is found, in DIR")
    ensemble = "another MODEL: the probabilities are averaged; may be repeated"
    parser.add_argument("--ensemble", type=Path, action="append", default=[], help=ensemble)
    parser.add_argument("--novelty", metavar="EXPERIMENT", help="add columns of this detector")
    output = "table to write: *.csv, or *.jsonl for JSON lines; default: %(default)s"
    parser.add_argument("--output", type=Path, default=Path("predictions.csv"), help=output)
    parser.add_argument("--force", action="store_true", help="replace a file of another origin")
    tta = "flips: the mean over four mirrorings; default: %(default)s"
    parser.add_argument("--tta", choices=("none", "flips"), default="none", help=tta)
    thresholds = {"choices": ("experiment", "0.5"), "default": "experiment"}
    chosen = "experiment: those that it chose on its validation part; default: %(default)s"
    parser.add_argument("--thresholds", **thresholds, help=chosen)
    parser.add_argument("--batch-size", type=int, default=16, help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.batch_size < 1:
        parser.error(f"--batch-size {options.batch_size}: expected 1 or more")
    return options


def overlays(folder: Path, model: Predictor, decided: Signature) -> PassOn:
    """Draws each class that is found over its image."""
    return explaining.Overlays(folder, model, decided).drawn


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    how = (given.tta == "flips", given.thresholds == "0.5", given.batch_size)
    options = PredictionOptions(given.output, *how, given.overlay, given.force)
    draw = partial(overlays, given.overlay) if given.overlay else None
    added = None if given.novelty is None else novelty.NoveltyColumns(given.novelty)
    outcome = predict_to_file([given.model, *given.ensemble], given.images, options, draw, added)
    pictures = f", pictures: {given.overlay}/" if given.overlay else ""
    show(f"{outcome.summary()}\nrows: {given.output}{pictures}")
    if outcome.num_errors:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main, doing="prediction")
