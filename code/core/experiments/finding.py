"""Experiments by their folder, their name, the beginning of it, or as the latest."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from core.errors import InputError
from core.experiments.reading import RESULTS_DIR, RESULTS_FILE, read_results
from core.validation import nearest

LATEST = "latest"
HOW_NAMED = f"folder of an experiment, its name, the beginning of it, or {LATEST}"
MOST_LISTED = 8

_OWN_FILES = (RESULTS_FILE, "model_final.pt", "config.yaml")
"""Files that stand for their experiment."""


def find_experiments(
    locations: Sequence[Path | str] = (),
    results_dir: Path | str = RESULTS_DIR,
    kind: str | None = None,
) -> list[Path]:
    """The named experiments, those in the named folders or, with no location, all of `results_dir`.

    What is no path is a name in `results_dir`, the beginning of one or several, or `latest`: the
    newest one of this kind that is completed, by default a training. Raises InputError for what is
    not found.
    """
    results_dir = Path(results_dir)
    if not locations:
        if not results_dir.is_dir():
            raise InputError(f"{results_dir} is not a folder: train first, or name experiments")
        return _experiments_in(results_dir)
    found: dict[Path, None] = {}
    for location in map(Path, locations):
        for path in _folders(location, results_dir, kind):
            inside = [path] if (path / RESULTS_FILE).is_file() else _experiments_in(path)
            if not inside:
                raise InputError(f"{path} has no {RESULTS_FILE}, nor has any folder in it")
            found |= dict.fromkeys(inside)
    return list(found)


def find_experiment(
    location: Path | str, results_dir: Path | str = RESULTS_DIR, kind: str | None = None
) -> Path:
    """The one experiment of that folder or name. Raises InputError for none or several."""
    found = find_experiments([location], results_dir, kind)
    if len(found) > 1:
        raise InputError(f"{location}: is {several(found)}: name one of them")
    return found[0]


def several(folders: Sequence[Path]) -> str:
    """The number of these experiments, and the names of the newest."""
    newest = sorted(folders, key=created_at, reverse=True)
    names = ", ".join(path.name for path in newest[:MOST_LISTED])
    more = ", ..." if len(newest) > MOST_LISTED else ""
    if len(newest) == 1:
        return f"1 experiment, {names}"
    return f"{len(newest)} experiments, newest first {names}{more}"


def beginning_with(name: str, results_dir: Path, file: str = RESULTS_FILE) -> list[Path]:
    """The folders in `results_dir` that hold `file`, and whose names begin so."""
    inside = results_dir.iterdir() if name and results_dir.is_dir() else ()
    return sorted(path for path in inside if path.name.startswith(name) and (path / file).is_file())


def created_at(folder: Path) -> float:
    """When the experiment began, in seconds since 1970; at a loss, when its folder last changed."""
    try:
        text = read_results(folder)["experiment"]["created_at"]
        return datetime.fromisoformat(text).timestamp()
    except (KeyError, TypeError, ValueError):
        return folder.stat().st_mtime


def _folders(location: Path, results_dir: Path, kind: str | None) -> list[Path]:
    path = location if location.exists() else results_dir / location
    if path.is_file() and (holder := _holder(path)):
        path = holder
    if path.is_dir():
        return [path]
    if str(location) == LATEST:
        return [_latest(results_dir, kind)]
    if found := beginning_with(str(location), results_dir):
        return found
    known = (entry.name for entry in results_dir.glob("*"))
    raise InputError(
        f"{location} is no experiment{nearest(location.name, known)}: expected a folder with "
        f"{RESULTS_FILE}, a folder of such folders, a name in {results_dir} or the beginning of "
        f"one, or {LATEST}"
    )


def _holder(file: Path) -> Path | None:
    """The experiment that the file stands for; None: it lies in none.

    Raises InputError for a file that stands for less, such as the checkpoint of one epoch.
    """
    holder = next((each for each in file.parents[:2] if (each / RESULTS_FILE).is_file()), None)
    if holder and file.name not in _OWN_FILES:
        raise InputError(f"{file} is one file of an experiment: give the folder {holder}")
    return holder


def _latest(results_dir: Path, kind: str | None) -> Path:
    for folder in sorted(_experiments_in(results_dir), key=created_at, reverse=True):
        results = read_results(folder)
        # Of another kind, these commands could use nothing.
        if results.get("status") == "completed" and results.get("kind") == kind:
            return folder
    what = f"{kind} experiment" if kind else "experiment"
    begin = "fit one" if kind else "train"
    raise InputError(f"{LATEST}: no completed {what} in {results_dir}: {begin} first")


def _experiments_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{RESULTS_FILE}"))
