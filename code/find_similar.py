"""Find the strips that are most similar to others, by the features of a trained encoder."""

import argparse
import sys
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.finding import HOW_NAMED


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    what = f"a training or a pretraining: {HOW_NAMED}"
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT", help=what)
    queries = "files, folders, globs; default: each image that is searched, where labels are known"
    parser.add_argument("queries", nargs="*", default=[], metavar="QUERY", help=queries)
    searched = parser.add_mutually_exclusive_group()
    searched.add_argument(
        "--in",
        dest="images",
        nargs="+",
        default=[],
        metavar="IMAGES",
        help="what to search: files, folders, globs, labelled data sets; -: paths on stdin",
    )
    searched.add_argument(
        "--part",
        choices=("train", "validation", "test"),
        default="test",
        help="search this part of the experiment's own split; default: %(default)s",
    )
    parser.add_argument(
        "--top", type=int, default=5, metavar="K", help="images per query; default: %(default)s"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="default: %(default)s")
    output = "new or empty folder; default: similar in the experiment"
    parser.add_argument("--output", type=Path, metavar="DIR", help=output)
    given = parser.parse_args(arguments)
    for option, value in (("--top", given.top), ("--batch-size", given.batch_size)):
        if value < 1:
            parser.error(f"{option} {value}: expected 1 or more")
    return given


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    # Imported here because it takes seconds.
    from core.review.overlay import read_corrections
    from core.similarity.finding import SearchOptions, find_similar

    options = SearchOptions(given.images, given.part, given.top, given.batch_size, given.output)
    folder, num_bad = find_similar(given.experiment, given.queries, options, read_corrections)
    show(f"Similar strips: {folder / 'similar.csv'}, {folder / 'similar.jpg'}")
    if num_bad:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main, doing="search")
