"""Write the report of a finished experiment: one HTML file with everything in it."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.finding import HOW_NAMED, find_experiments
from core.experiments.reading import RESULTS_DIR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help=HOW_NAMED)
    where = "folder of experiments that are given by name; default: %(default)s"
    parser.add_argument("--results-dir", type=Path, default=RESULTS_DIR, metavar="DIR", help=where)
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="where the images are; default: where the experiment read them",
    )
    arguments = parser.parse_args()
    from core.analysis.report import write_report  # takes seconds

    for folder in find_experiments(arguments.experiments, arguments.results_dir):
        show(str(write_report(folder, data_root=arguments.data_root)))


if __name__ == "__main__":
    run_command(main)
