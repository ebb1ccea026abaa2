"""A sweep continues past a job that fails, and ends with a table of the failed jobs."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from core.command.terminal import show_error
from core.errors import InputError

log = logging.getLogger(__name__)

FAILED = 1
"""Exit code of a sweep of which a job failed."""


class Sweep:
    """The jobs of a sweep that runs in this process, one after another.

    A launcher that runs jobs elsewhere, such as submitit's, reports their failures itself.
    """

    def __init__(self) -> None:
        self.jobs: list[list[str]] = []
        self.failed: list[tuple[int, str]] = []

    @contextmanager
    def job(self) -> Iterator[None]:
        """Run one job; in a sweep, report its error and let the next job follow."""
        hydra = HydraConfig.get()
        in_turn = hydra.launcher.get("_target_", "").endswith("BasicLauncher")
        if hydra.mode != RunMode.MULTIRUN or not in_turn:
            yield
            return
        self.jobs.append(list(hydra.overrides.task))
        number = len(self.jobs)
        try:
            yield
        except InputError as error:
            show_error(f"error: {error}")
            self.failed.append((number, str(error)))
        except Exception as error:
            log.exception("This job failed; the sweep continues")
            self.failed.append((number, f"{type(error).__name__}: {error}"))

    def finish(self) -> None:
        """Print what failed, if anything did, and exit with code 1."""
        if not self.failed:
            return
        shared = set.intersection(*map(set, self.jobs))
        lines = [f"{len(self.failed)} of {len(self.jobs)} jobs failed:"]
        for number, message in self.failed:
            own = [override for override in self.jobs[number - 1] if override not in shared]
            job = ", ".join([f"job {number}", " ".join(own)] if own else [f"job {number}"])
            lines.append(f"  {job}: {message}")
        show_error("\n".join(lines))
        sys.exit(FAILED)
