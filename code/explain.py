"""Show where a trained model looks, and score that on the true masks."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.finding import HOW_NAMED
from core.explaining import METHOD_NAMES


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT", help=HOW_NAMED)
    images = "files, folders, globs; -: paths on stdin; default: test strips whose masks exist"
    parser.add_argument("images", nargs="*", default=[], metavar="IMAGES", help=images)
    parser.add_argument(
        "--method",
        choices=METHOD_NAMES,
        help="cbam: the spatial gates of its attention; mask_head: the masks that it predicts; "
        "default: mask_head if the model has one, else hires_cam",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: explanation_METHOD in the experiment"
    )
    root = "data set that holds the images and their masks; default: where training read them"
    parser.add_argument("--data-root", type=Path, metavar="DIR", help=root)
    parser.add_argument(
        "--curve-steps",
        type=int,
        default=10,
        metavar="N",
        help="points of the deletion and insertion curves; 0: none; default: %(default)s",
    )
    options = parser.parse_args(arguments)
    if options.curve_steps < 0:
        parser.error(f"--curve-steps {options.curve_steps}: expected 0 or more")
    return options


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    # Imported here because it takes seconds.
    from core.analysis.report import update_report
    from core.explaining.explaining import ExplanationOptions, explain
    from core.review.overlay import read_corrections

    options = ExplanationOptions(given.method, given.output, given.data_root, given.curve_steps)
    folder = explain(given.experiment, given.images, options, read_corrections)
    if given.output is None:
        update_report(folder.parent, data_root=given.data_root)  # which now shows it
    show(f"Explained: {folder / 'explanation.json'}")


if __name__ == "__main__":
    run_command(main, doing="explanation")
