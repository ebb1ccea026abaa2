"""Files that are written whole or not at all."""

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.errors import InputError

# What a user can correct: no space, no quota, no permission, a failing or read-only disk.
_STORAGE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO,
    errno.ENAMETOOLONG,
}  # fmt: skip
_PART = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`.

    A reader sees the old file or the new one, never an incomplete one, even if the process is
    killed. On an exception the temporary file is removed and `path` is untouched.

    Raises:
        InputError: the disk is full, the folder cannot be written to, or the name is too long.
    """
    path = Path(path)
    try:
        with _replacing(path) as temporary:
            yield temporary
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): make room, or give another name or a "
            "folder that can be written to; files written before are whole"
        ) from error


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        make_readable(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def make_readable(temporary: Path) -> None:
    """Give a temporary file or folder, which tempfile makes private, the user's usual mode."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod((0o777 if temporary.is_dir() else 0o666) & ~mask)


def _sync_folder(folder: Path) -> None:
    """Write renames to the disk in their order, in case the power fails."""
    with suppress(OSError):  # not every system can sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what `replacing` left in `folder` when its process was killed."""
    for path in folder.glob(f".*{_PART}"):
        if path.is_file():
            path.unlink(missing_ok=True)


def make_empty_folder(folder: Path, option: str) -> None:
    """Create `folder`, or use it if it is empty; messages name it by `option`.

    Raises:
        InputError: it is not empty, or cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{option} {folder}: {error.strerror}: give another folder") from None
    if not is_empty:
        raise InputError(f"{option} {folder} is not empty: give another folder")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to `target`, whole or not at all."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON: numbers that are NaN or infinite become null."""
    write_text(path, json.dumps(to_json(content), indent=2, allow_nan=False) + "\n")


def to_json(value: Any) -> Any:
    """`value` in JSON's own types: numpy scalars and arrays unwrapped, undefined as None."""
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)
