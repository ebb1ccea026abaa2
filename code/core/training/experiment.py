"""The folder of an experiment and the results.json in it, whole at every moment."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import write_json

SCHEMA_VERSION = 1

log = logging.getLogger(__name__)


class ExperimentFolder:
    """`<results_dir>/<name>_YYYYMMDD_HHMMSS/`, with results.json, checkpoints/ and train.log."""

    def __init__(self, path: Path, results: dict[str, Any]) -> None:
        self.path = path
        self.results = results

    @classmethod
    def create(
        cls, results_dir: Path, name: str, now: datetime | None = None
    ) -> "ExperimentFolder":
        """Make a new folder; a taken name gets a suffix, so that two runs never share one.

        Raises:
            InputError: the folder cannot be made.
        """
        now = now or datetime.now().astimezone()
        stem = f"{name}_{now:%Y%m%d_%H%M%S}"
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            path = make_unused_folder(results_dir, stem)
        except OSError as error:
            raise InputError(
                f"experiment.results_dir={str(results_dir)!r}: cannot make a folder in it "
                f"({error.strerror}): give a folder that can be written to"
            ) from None
        return cls.at(path, now)

    @classmethod
    def at(cls, path: Path, now: datetime | None = None) -> "ExperimentFolder":
        """Begin an experiment in `path`, which is made where it is not there yet."""
        now = now or datetime.now().astimezone()
        (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        head = {"name": path.name, "created_at": now.isoformat(timespec="seconds")}
        return cls(
            path, {"schema_version": SCHEMA_VERSION, "status": "running", "experiment": head}
        )

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def results_file(self) -> Path:
        return self.path / "results.json"

    def record(self, **sections: Any) -> None:
        """Put sections into results.json; a mapping is merged into the section of that name."""
        for name, content in sections.items():
            known = self.results.get(name)
            both = isinstance(known, dict) and isinstance(content, dict)
            self.results[name] = {**known, **content} if both else content
        write_json(self.results_file, self.results)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write train.log and, on the way out, the status that fits how the run ended."""
        with _log_file(self.path / "train.log"), _terminate_as_interrupt():
            try:
                self.record(status="running")
                yield
            except KeyboardInterrupt:
                self.record(status="interrupted", status_message="stopped by the user")
                log.warning("Interrupted; what was reached so far is in %s", self.path)
                raise
            except BaseException as error:
                message = f"{type(error).__name__}: {' '.join(str(error).split())}"
                self.record(status="failed", status_message=message)
                log.error("Failed: %s", message)
                raise
            self.record(status="completed")


def make_unused_folder(parent: Path, stem: str) -> Path:
    """Make `parent/stem`, with a number behind it where that name is taken."""
    attempt = 1
    while True:
        path = parent / (stem if attempt == 1 else f"{stem}_{attempt}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            attempt += 1


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM, which schedulers send, ends a run as Ctrl-C does. Only the main thread may ask."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
