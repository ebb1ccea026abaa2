"""Time our way takes beside the plain one: `python code/benchmark.py loader|step|...`."""

import argparse
import importlib
import tempfile
from pathlib import Path

import torch

from benchmarks.measurement import machine, results
from benchmarks.options import OPTIONAL, SUBJECTS, Options
from core.command.mistakes import run_command
from core.experiments.environment import describe_environment
from core.files.writing import write_json


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=OPTIONAL, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=SUBJECTS, help="what is measured")
    parser.add_argument("--rounds", type=int, help="turns that each contender takes")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="default: procedural strips")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), help="256 1600")
    parser.add_argument("--num-images", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--model", help="of all but loader, split and metrics")
    parser.add_argument("--threads", type=int, default=1, help="torch's, on the CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the rows as JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = vars(parse(arguments))
    torch.set_num_threads(given["threads"])
    title, usual = SUBJECTS[given["subject"]]
    chosen = {**usual, **{k: v for k, v in given.items() if v is not None}}
    fields = {key: chosen[key] for key in Options.__dataclass_fields__ if key in chosen}
    options = Options(**{**fields, "device": torch.device(given["device"])})
    subject = importlib.import_module(f"benchmarks.{given['subject']}")
    with tempfile.TemporaryDirectory() as folder:
        rows, text = results(subject, options, Path(folder))
    environment = describe_environment(options.device)
    print(f"{given['subject']}: {title}\n\n{text}\n\n{machine(environment)}")
    if given["output"]:
        write_json(given["output"], {"environment": environment, "options": given, "rows": rows})


if __name__ == "__main__":
    run_command(main)
