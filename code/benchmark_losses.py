"""Time and peak memory of every loss beside other libraries: `python code/benchmark_losses.py`."""

import argparse
from pathlib import Path

import torch

from benchmarks.loss_comparison import SHAPES, compare, environment, report
from core.command.mistakes import run_command
from core.errors import InputError
from core.files.writing import write_json
from core.losses import get_registry


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--losses", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--shapes", nargs="+", metavar="8x4x256x1600", help="instead of the three")
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget-seconds", type=float, default=2.0, help="for each loss and shape")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the rows as JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    names = options.losses or get_registry().list_losses()
    for name in names:
        get_registry().get(name)
    shapes = [shape_of(text) for text in options.shapes] if options.shapes else SHAPES
    about = environment(options.device)
    rows = compare(names, shapes, options.compile, options.device, options.budget_seconds)
    print(report(rows, about))
    if options.output:
        write_json(options.output, {"environment": about, "rows": rows})


def shape_of(text: str) -> tuple[int, ...]:
    """`8x4x256x1600` as numbers."""
    parts = text.split("x")
    if len(parts) < 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--shapes: {text!r}: expected sizes such as 8x4x256x1600")
    return tuple(map(int, parts))


if __name__ == "__main__":
    run_command(main)
