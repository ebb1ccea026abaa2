"""What sweeps share: names that are known, and settings that their folder keeps."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.options import Options
from core.errors import InputError
from core.files.reading import read_json
from core.files.writing import to_json, write_json

SETTINGS_FILE = "sweep.json"


def check_names(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise InputError for the first given name that is not known."""
    known = list(known)
    for name in given:
        if name not in known:
            raise InputError(f"{option} {name}: expected some of {', '.join(known)}")


def keep_settings(folder: Path, options: Options, keys: Iterable[str]) -> None:
    """Write these options into the folder of a sweep, which then belongs to them alone.

    Raises InputError where it was begun with others.
    """
    own, file = to_json({key: getattr(options, key) for key in keys}), folder / SETTINGS_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, own)
    elif (before := read_json(file)) != own:
        raise InputError(
            f"--sweep-dir {folder}: holds a sweep with other settings ({before}): give the same, "
            "or another folder"
        )
