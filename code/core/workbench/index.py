"""The index of an experiments folder: read once, and again where something changed."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from core.errors import InputError
from core.experiments.lock import is_locked
from core.experiments.reading import RESULTS_FILE
from core.files.escaping import for_terminal
from core.workbench.child import ChildProcess
from core.workbench.summary import FOLDED, read_in_full, read_row

log = logging.getLogger(__name__)

# Between two looks at the folder, and how long it is looked at after the last request.
_INTERVAL_SECONDS, _WATCHED_SECONDS = 1.0, 30.0
_MOST_REMEMBERED = 64
# results.json says "running" as long as nobody writes otherwise; the lock knows better.
RUNNING, ABANDONED = "running", "no process"
# What tells a file from its successor: a file that is replaced has another inode.
Signature = tuple[int, int, int]


@dataclass(frozen=True)
class Found:
    """A folder with a results.json, and what that file was when it was found.

    `problem` says why a folder that may hold experiments shows none.
    """

    path: Path
    name: str
    signature: Signature | None
    problem: str = ""


class ExperimentIndex:
    """Rows of all experiments in `results_dir`, and of those in the folders of a sweep in it.

    `ask` calls a function in another process. Keys are made here: whoever asks for an experiment
    gives a key, and never a part of a path.
    """

    def __init__(self, results_dir: Path, ask: Callable[..., Any] | None = None) -> None:
        self.results_dir = results_dir
        self._ask = ask or ChildProcess()
        # By the file's signature too: what has changed is read again.
        self._in_full = lru_cache(_MOST_REMEMBERED)(lambda each: self._ask(read_in_full, each.path))
        self._lock = Lock()
        self.version = 0
        """Grows with every change of what `rows` returns."""
        self._found: dict[str, Found] = {}
        self._rows: dict[str, tuple[Signature | None, dict[str, Any]]] = {}
        self._watched, self._ended = Event(), Event()
        self._last_asked = time.monotonic()

    def watch(self) -> None:
        """Keep the rows up to date in a thread while somebody asks for them."""
        Thread(target=self._watch, name="index", daemon=True).start()

    def keep_watching(self) -> None:
        """Somebody asks: look at the folder for some more seconds."""
        self._last_asked = time.monotonic()
        self._watched.set()

    def close(self) -> None:
        """End the thread and the process."""
        self._ended.set()
        self._watched.set()
        if isinstance(self._ask, ChildProcess):
            self._ask.close()

    def find(self, key: str) -> Found | None:
        """The experiment with this key."""
        return self._found.get(key)

    def rows(self) -> tuple[list[dict[str, Any]], int]:
        """What is known of each experiment, and how many are yet to be read."""
        with self._lock:
            rows = [row for _, row in self._rows.values()]
            return rows, sum(key not in self._rows for key in self._found)

    def in_full(self, found: Found) -> dict[str, Any]:
        """Everything that its page shows. Raises InputError where it cannot be read."""
        return self._in_full(found)

    def update(self) -> None:
        """Look at the folder, and read what is new or has changed."""
        found = {key_of(each.name): each for each in _experiments_in(self.results_dir)}
        with self._lock:
            self.version += self._found.keys() != found.keys()
            self._found = found
            self._rows = {key: row for key, row in self._rows.items() if key in found}
        for key, each in found.items():
            if self._ended.is_set():
                return
            known = self._rows.get(key)
            if each.problem:
                row = _damaged(key, each, each.problem)
            elif known is None or known[0] != each.signature or _grows_in_folds(known[1]):
                row = self._read(key, each)
            elif known[1]["status"] in (RUNNING, ABANDONED):
                row = {**known[1], "status": _running_or_not(each.path)}
            else:
                continue
            with self._lock:
                self.version += known is None or known[1] != row
                self._rows[key] = (each.signature, row)

    def _read(self, key: str, each: Found) -> dict[str, Any]:
        try:
            row = self._ask(read_row, each.path)
        except InputError as error:
            return _damaged(key, each, str(error))
        if row["status"] == RUNNING:
            row["status"] = _running_or_not(each.path)
        return {"key": key, "name": for_terminal(each.name), **row}

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self.update()
            except Exception:  # such as a process that cannot be started just now
                if not self._ended.is_set():
                    log.exception("The experiments could not be looked at; trying again")
            if time.monotonic() - self._last_asked > _WATCHED_SECONDS:
                self._watched.clear()
            self._ended.wait(_INTERVAL_SECONDS)
            self._watched.wait()


def _damaged(key: str, each: Found, problem: str) -> dict[str, Any]:
    name = for_terminal(each.name)
    message = for_terminal(f"{each.name}: {problem}")
    return {"key": key, "name": name, "status": "damaged", "message": message, "values": {}}


def _grows_in_folds(row: dict[str, Any]) -> bool:
    """Whether its own results.json stays the same while its folds are trained."""
    return row["status"] == RUNNING and row["values"].get("kind") == FOLDED


def _running_or_not(path: Path) -> str:
    return RUNNING if is_locked(path) else ABANDONED


def key_of(name: str) -> str:
    """The key of the experiment with this name in the index."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _experiments_in(results_dir: Path) -> Iterator[Found]:
    """Those in the folder, and in each folder of it that is no experiment, such as a sweep's."""
    paths, problems = _folders(results_dir, results_dir.absolute().name)
    yield from problems
    for path in paths:
        if each := _experiment(path, path.name):
            yield each
            continue
        if path.is_symlink() and path.resolve() == results_dir.resolve():
            continue  # it would list everything twice
        inner_paths, problems = _folders(path, path.name)
        yield from problems
        for inner in inner_paths:
            if each := _experiment(inner, f"{path.name}/{inner.name}"):
                yield each


def _folders(folder: Path, name: str) -> tuple[list[Path], list[Found]]:
    """The folders in this one, or why it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if _is_folder(entry)), []
    except FileNotFoundError:  # nothing was trained yet
        return [], []
    except OSError as error:
        return [], [Found(folder, name, None, f"cannot be listed ({error.strerror})")]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a row says so, such as of a link to itself
        return True


def _experiment(path: Path, name: str) -> Found | None:
    try:
        status = (path / RESULTS_FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # a row that says so
        return Found(path, name, None)
    return Found(path, name, (status.st_mtime_ns, status.st_size, status.st_ino))
