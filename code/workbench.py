"""Open the workbench: a page in the browser over the experiments folder."""

import argparse
import re
from pathlib import Path

from core.command.mistakes import run_command
from core.experiments.reading import RESULTS_DIR

PORT = 8765


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--results-dir", type=Path, default=RESULTS_DIR, metavar="DIR", help="default: %(default)s"
    )
    what = "on 127.0.0.1; 0: any that is free; default: %(default)s"
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=what)
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="name in the browser's address where a proxy or a tunnel leads here; can be repeated",
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="data set to browse; the strips of experiments whose own folder is gone are looked "
        "for there too",
    )
    given = parser.parse_args(arguments)
    if not 0 <= given.port < 1 << 16:
        parser.error(f"--port {given.port}: expected 0 to 65535")
    for host in given.allowed_host:
        if not re.fullmatch(r"[\w.-]+(:\d+)?", host, re.ASCII):
            parser.error(f"--allowed-host {host}: expected NAME or NAME:PORT, as in the address")
    return given


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    # Imported here because it takes a second.
    from core.workbench.serving import serve

    serve(given.results_dir, given.port, given.allowed_host, given.data_root)


if __name__ == "__main__":
    run_command(main)
