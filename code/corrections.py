"""List the decisions of a review, export corrected labels, or measure what those are worth."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.reading import RESULTS_DIR


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="counts, agreement and rate of wrong labels")
    exported = commands.add_parser("export", help="labels with the decisions applied")
    gained = commands.add_parser("gain", help="what training with the decided labels is worth")
    for command in (listed, exported, gained):
        command.add_argument("store", type=Path, metavar="STORE", help="file of the decisions")
    exported.add_argument(
        "data_root", type=Path, metavar="DATA_ROOT", help="the data set; nothing in it is changed"
    )
    what = "a file that does not exist"
    exported.add_argument("--output", type=Path, required=True, metavar="FILE", help=what)
    exported.add_argument(
        "--layout",
        choices=("labels", "train", "corrections"),
        help="labels.csv, train.csv with masks, or the decided labels alone, for data.corrections; "
        "default: train where FILE is called train.csv, else labels",
    )
    what = "data.class_names of the review, if it had any"
    exported.add_argument("--class-names", metavar="A,B", help=what)
    for name, labels in (("given", "the given labels"), ("corrected", "data.corrections")):
        what = f"trained on {labels}, a seed each; default: all in the results that have partners"
        gained.add_argument(f"--{name}", nargs="+", default=[], metavar="EXPERIMENT", help=what)
    gained.add_argument(
        "--results-dir", type=Path, default=RESULTS_DIR, help="default: %(default)s"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    # Imported here because it takes a second.
    from core.review.exporting import export
    from core.review.gain_table import gain_document
    from core.review.store import ReviewStore
    from core.review.summary import summary

    store = ReviewStore(given.store)
    if given.command == "list":
        return show(summary(store))
    if given.command == "gain":
        return show(gain_document(store, given.given, given.corrected, given.results_dir))
    names = tuple(given.class_names.split(",")) if given.class_names else None
    layout = given.layout or ("train" if given.output.name == "train.csv" else "labels")
    show(export(store, given.data_root, given.output, layout, names))


if __name__ == "__main__":
    run_command(main)
