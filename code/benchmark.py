"""Compare our way of doing a job with the plain way: `python code/benchmark.py SUBJECT`."""

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measurement import machine, measure, table
from benchmarks.options import SUBJECTS, Options, parse
from core.command.mistakes import run_command
from core.command.terminal import show
from core.files.overwriting import check_replaceable, has_keys
from core.files.writing import write_json

KEYS = ("environment", "options", "rows")


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments, __doc__)
    name, output = given.pop("subject"), given.pop("output")
    if output:
        check_replaceable(output, "--output", lambda file: has_keys(file, KEYS))
    options = Options(**given)
    import torch  # takes seconds, as most of what is imported here

    from core.experiments.environment import describe_environment

    if "threads" in given:
        torch.set_num_threads(options.threads)
    subject = importlib.import_module(f"benchmarks.{name}")
    with tempfile.TemporaryDirectory() as folder:
        if hasattr(subject, "results"):
            rows, text = subject.results(options, Path(folder))
        else:
            rows = measure(subject.contenders(options, Path(folder)), options.rounds)
            text = f"{table(rows, subject.ITEM)}\n\nMedians of {options.rounds} turns."
    environment = describe_environment(options.device)
    show(f"{name}: {SUBJECTS[name].title}\n\n{text}\n\n{machine(environment)}")
    if output:
        write_json(output, dict(zip(KEYS, (environment, given, rows), strict=True)))
    if hasattr(subject, "failed") and subject.failed(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
