"""Compare finished experiments: figures with intervals, what differs, and which is better."""

import argparse
import shutil
from pathlib import Path

from core.analysis.comparison_formats import FORMATS, as_text
from core.command.mistakes import run_command
from core.command.terminal import show, show_error
from core.experiments.finding import HOW_NAMED
from core.experiments.reading import RESULTS_DIR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = f"{HOW_NAMED}; default: all in --results-dir"
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=what)
    parser.add_argument(
        "--results-dir", type=Path, default=RESULTS_DIR, metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--sort",
        default="macro_f1",
        metavar="FIGURE",
        help="rank by this figure: macro_f1, macro_average_precision, defect_2_recall, "
        "pointing_accuracy, ...; default: %(default)s",
    )
    parser.add_argument(
        "--columns",
        default="",
        metavar="FIGURE,...",
        help="show these figures as well: names as for --sort, a metric such as f1 or recall for "
        "that of each class, or all; csv and json always hold all",
    )
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only experiments with this value in their config; can be repeated",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    arguments = parser.parse_args()
    from core.analysis.comparison import compare_results  # takes longer than all else here

    given, results_dir = arguments.experiments, arguments.results_dir
    how = {"sort": arguments.sort, "filters": arguments.filter}
    comparison = compare_results(given, results_dir=results_dir, **how)
    columns = [name.strip() for name in arguments.columns.split(",") if name.strip()]
    width = max(80, shutil.get_terminal_size().columns)
    show(as_text(comparison, arguments.format, columns, width).removesuffix("\n"))
    if arguments.format == "csv":
        for line in [*comparison.notes, *comparison.problems]:
            show_error(line)


if __name__ == "__main__":
    run_command(main)
