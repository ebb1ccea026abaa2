"""Score a finished experiment again, on its own test part or on another labelled folder."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.finding import HOW_NAMED


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT", help=HOW_NAMED)
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="labelled folder in any layout that training reads; default: its own test part",
    )
    given = parser.parse_args(arguments)
    # Imported here because it takes seconds.
    from core.running.reevaluation import reevaluate

    show(f"Results: {reevaluate(given.experiment, given.data_root) / 'results.json'}")


if __name__ == "__main__":
    run_command(main, doing="evaluation")
