"""Predict the defects on images, by an experiment or by what was exported of it."""

import argparse
import sys
from pathlib import Path

from core.command_line import run_command
from core.prediction import PredictionOptions, predict_to_file


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    about = "folder or name of an experiment; model.onnx or model.zip need no torch"
    parser.add_argument("model", type=Path, metavar="MODEL", help=about)
    parser.add_argument(
        "images", nargs="+", metavar="IMAGES", help="files, folders, globs; -: paths on stdin"
    )
    parser.add_argument(
        "--ensemble",
        type=Path,
        action="append",
        default=[],
        help="average the probabilities with this model's; may be given again",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("predictions.csv"),
        help="*.csv, or *.jsonl for JSON lines; default: %(default)s",
    )
    parser.add_argument(
        "--tta", choices=("none", "flips"), default="none", help="flips: mean of four mirrorings"
    )
    parser.add_argument(
        "--thresholds",
        choices=("experiment", "0.5"),
        default="experiment",
        help="experiment: those it chose on its validation part; default: %(default)s",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.batch_size < 1:
        parser.error(f"--batch-size {options.batch_size}: expected 1 or more")
    return options


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    options = PredictionOptions(
        given.output, given.tta == "flips", given.thresholds == "0.5", given.batch_size
    )
    outcome = predict_to_file([given.model, *given.ensemble], given.images, options)
    print(f"{outcome.num_images} images, {outcome.num_errors} unreadable: {given.output}")
    if outcome.num_errors:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
