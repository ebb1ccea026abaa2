"""What is computed once and kept in the user's cache folder, as long as its key is the same."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files.reading import MEBIBYTE, read_bytes
from core.files.writing import write_text

_MOST_BYTES = 4 * MEBIBYTE


def user_cache_folder() -> Path:
    """The folder of this project among the user's caches.

    Source: XDG Base Directory Specification 0.8, where a path that is not absolute is ignored.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (named if named.is_absolute() else Path.home() / ".cache") / "steel_defects"
    except RuntimeError:  # a user without a home: a place where nothing can be kept
        return Path(os.devnull) / "steel_defects"


def keep(file: Path, key: str, content: Any) -> None:
    """Write `content`, in JSON's own types, for those who ask with the same key.

    Where nothing can be written, nothing is kept.
    """
    text = json.dumps(content)
    with suppress(InputError, OSError):
        write_text(file, f"{_seal(key, text)}\n{text}")


def kept(file: Path, key: str) -> Any:
    """What was kept with this key; None if there is nothing, or the file is damaged."""
    try:
        seal, _, text = read_bytes(file, _MOST_BYTES).decode().partition("\n")
        return json.loads(text) if seal == _seal(key, text) else None
    except (InputError, ValueError):
        return None


def _seal(key: str, text: str) -> str:
    """A digest by which another key is noticed, and any change of the text."""
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
