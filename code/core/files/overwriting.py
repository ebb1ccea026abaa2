"""Files that a command may replace: those that it wrote itself, and others only if told to."""

import stat
from collections.abc import Callable, Collection
from pathlib import Path

from core.errors import InputError
from core.files.reading import MEBIBYTE, opened, read_json

# Only the first line is read, so the file may have any size.
_ANY_SIZE = 1 << 60
# Of 255 bytes, `replacing` takes 15 for the temporary file.
_LONGEST_NAME = 240


def check_replaceable(
    path: Path, option: str, is_own: Callable[[Path], bool], force: bool | None = None
) -> None:
    """Check, before any work is done, that writing `path` costs nothing of the user's.

    `is_own` says by a reliable mark whether the command wrote the file. With `force` any plain file
    is replaced; None: the command has no such option. Messages name the file by `option`.

    Raises:
        InputError: a folder, a device, or a file that the command did not write.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}: give another file") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{option} {path} is a folder; expected the name of a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{option} {path} is a pipe or a device; expected the name of a file")
    # An empty file loses nothing.
    if force or status.st_size == 0 or is_own(path):
        return
    remedy = "or remove it first" if force is None else "--force replaces it"
    raise InputError(
        f"{option} {path}: exists, and this command did not write it: give another file; {remedy}"
    )


def check_file_name(path: Path, option: str) -> None:
    """Raises InputError for a name that is too long for a file that is written whole or not at all,
    or not valid UTF-8, which the libraries that write models refuse.
    """
    try:
        length = len(path.name.encode())
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{option} {path}: is not valid UTF-8: give another name") from None
    if length > _LONGEST_NAME:
        raise InputError(
            f"{option} {path}: {path.name} has {length} bytes, and at most {_LONGEST_NAME} are "
            "possible: give a shorter name"
        )


def first_line(path: Path) -> str:
    """The first line of a file, without its end; empty where there is none that could be read."""
    try:
        with opened(path, _ANY_SIZE) as stream:
            return stream.readline(MEBIBYTE).decode("utf-8-sig").rstrip("\r\n")
    except (InputError, UnicodeDecodeError):
        return ""


def has_keys(path: Path, keys: Collection[str]) -> bool:
    """Whether a file holds a JSON object with all these keys."""
    try:
        content = read_json(path)
    except InputError:
        return False
    return isinstance(content, dict) and set(keys) <= content.keys()
