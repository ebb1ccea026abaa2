"""List the decisions of a review, or export labels with the decisions applied."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="counts, agreement and rate of wrong labels")
    exported = commands.add_parser("export", help="labels with the decisions applied")
    for command in (listed, exported):
        command.add_argument("store", type=Path, metavar="STORE", help="file of the decisions")
    exported.add_argument(
        "data_root", type=Path, metavar="DATA_ROOT", help="the data set; nothing in it is changed"
    )
    exported.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="a file that does not exist"
    )
    exported.add_argument(
        "--layout",
        choices=("labels", "train", "corrections"),
        help="labels.csv, train.csv with masks, or the decided labels alone, for data.corrections; "
        "default: train where FILE is called train.csv, else labels",
    )
    exported.add_argument(
        "--class-names", metavar="A,B", help="data.class_names of the review, if it had any"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    # Imported here because it takes a second.
    from core.analysis.text_tables import aligned
    from core.review.exporting import export
    from core.review.store import ReviewStore
    from core.review.summary import summary_notes, summary_rows

    store = ReviewStore(given.store)
    if given.command == "list":
        show("\n".join([*aligned(summary_rows(store)), "", *summary_notes(store)]))
        return
    names = tuple(given.class_names.split(",")) if given.class_names else None
    layout = given.layout or ("train" if given.output.name == "train.csv" else "labels")
    show(export(store, given.data_root, given.output, layout, names))


if __name__ == "__main__":
    run_command(main)
