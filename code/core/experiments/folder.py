"""The folder of an experiment and the results.json in it, whole at every moment."""

import itertools
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import InputError
from core.experiments.lock import run_lock
from core.experiments.predictions import PREDICTIONS_FILE, write_predictions
from core.experiments.reading import RESULTS_FILE, read_results
from core.experiments.schema import SCHEMA_VERSION, Head, Results, Section
from core.files.escaping import TerminalFormatter
from core.files.writing import remove_leftovers, to_json, write_json
from core.machine.distributed import from_first, is_first
from core.machine.interruption import Interruption

log = logging.getLogger(__name__)


class ExperimentFolder:
    """`<results_dir>/<name>_YYYYMMDD_HHMMSS/`, which only the first of several processes writes."""

    schema: type[Section] = Results
    """What results.json may hold; a kind of training with other figures sets its own."""

    script: str | None = "code/train.py"
    """The command that goes on with an interrupted run; None: it has to begin again."""

    def __init__(self, path: Path, results: dict[str, Any]) -> None:
        self.path = path
        self.results = results
        self.followers: list[Callable[[dict[str, Any]], None]] = []
        """Called with what was written to results.json, each time."""

    @classmethod
    def create(
        cls, results_dir: Path, name: str, now: datetime | None = None
    ) -> "ExperimentFolder":
        """Make a new folder; a taken name gets a suffix, so that two runs never share one."""
        now = now or datetime.now().astimezone()
        stem = f"{name}_{now:%Y%m%d_%H%M%S}"
        return cls.at(from_first(lambda: _make_folder(results_dir, stem)), now)

    @classmethod
    def at(cls, path: Path, now: datetime | None = None) -> "ExperimentFolder":
        """Begin an experiment in `path`, which is made where it does not exist yet."""
        now = now or datetime.now().astimezone()
        if is_first():
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        head = {"name": path.name, "created_at": now.isoformat(timespec="seconds")}
        return cls(
            path, {"schema_version": SCHEMA_VERSION, "status": "running", "experiment": head}
        )

    @classmethod
    def reopen(cls, path: Path, resumption: dict[str, Any]) -> "ExperimentFolder":
        """Continue in the folder of an earlier process; `resumption` says from where and how.

        The test figures in it are dropped: they will be computed again.
        """
        folder = cls.at(path)
        head = folder.results["experiment"]
        earlier = _read_head(path) if is_first() else {}
        entry = {"time": head["created_at"], **resumption}
        folder.results["experiment"] = {
            **head, **earlier, "name": path.name,
            "resumed_at": [*(earlier.get("resumed_at") or []), entry],
        }  # fmt: skip
        return folder

    @property
    def results_file(self) -> Path:
        return self.path / RESULTS_FILE

    def record(self, **sections: Any) -> None:
        """Put sections of the schema into results.json; a mapping is merged into its section."""
        for name, content in sections.items():
            known = self.results.get(name)
            both = isinstance(known, dict) and isinstance(content, dict)
            self.results[name] = {**known, **content} if both else content
        if is_first():
            content = to_json(self.results)
            self.schema.model_validate(content, extra="forbid")
            write_json(self.results_file, content)
            for follow in self.followers:
                follow(content)

    def write_predictions(self, parts: Mapping[str, Any], class_names: Sequence[str]) -> None:
        """Write predictions.csv."""
        write_predictions(self.path / PREDICTIONS_FILE, parts, class_names)

    @contextmanager
    def running(self, interruption: Interruption) -> Iterator[None]:
        """Write train.log and, at the end, the status that says how the run ended.

        Raises InputError where another process works in the folder, or it cannot be written to.
        """
        with ExitStack() as stack:
            if is_first():
                stack.enter_context(run_lock(self.path))
                stack.enter_context(_log_file(self.path / "train.log"))
                for folder in (self.path, self.path / "checkpoints"):
                    remove_leftovers(folder)
            stack.enter_context(interruption.listening())
            try:
                self.record(status="running")
                yield
            except KeyboardInterrupt:
                if self.script is None:
                    log.warning("Interrupted: run the same command again")
                else:
                    resumed = shlex.quote(f"resume={self.path}")
                    log.warning("Interrupted. To go on: python %s %s", self.script, resumed)
                self._record_end(interruption, "interrupted", "stopped by the user")
                raise
            except BaseException as error:
                message = f"{type(error).__name__}: {' '.join(str(error).split())}"
                log.error("Failed: %s", message)
                self._record_end(interruption, "failed", message)
                raise
            self.record(status="completed")

    def _record_end(self, interruption: Interruption, status: str, message: str) -> None:
        """A full disk may have ended the run, and then ends this too: report the first error."""
        try:
            # A launcher that ends all processes after one has failed must not end this.
            with interruption.deferred():
                self.record(status=status, status_message=message)
        except Exception as error:
            log.error("The status could not be written: %s", error)


def _read_head(path: Path) -> dict[str, Any]:
    """The section on the run itself, without what this version does not know."""
    try:
        head = Head.model_validate(read_results(path).get("experiment", {}), extra="ignore")
    except ValidationError:
        return {}
    return head.model_dump(exclude_unset=True)


def _make_folder(results_dir: Path, stem: str) -> Path:
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
        return make_unused_folder(results_dir, stem)
    except OSError as error:
        raise InputError(
            f"experiment.results_dir={str(results_dir)!r}: cannot make a folder in it "
            f"({error.strerror}): give a folder that can be written to"
        ) from None


def make_unused_folder(parent: Path, stem: str) -> Path:
    """Make `parent/stem`, with a number behind it where that name is taken."""
    for attempt in itertools.count(1):
        path = parent / (stem if attempt == 1 else f"{stem}_{attempt}")
        with suppress(FileExistsError):
            path.mkdir()
            return path


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): give a folder that can be written to"
        ) from None
    # A full disk ends the run where it matters; a line that is lost here is on the terminal.
    handler.handleError = lambda record: None
    handler.setFormatter(TerminalFormatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with suppress(OSError):
            handler.close()
