"""A key for what was computed from image files: other files, another key."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2


def content_key(paths: Sequence[Path], *facts: object) -> str:
    """16 hexadecimal digits over name, size and modification time of every file, and `facts`.

    Folders do not count, so that a data set that was moved keeps its key. The decoder's version
    does: another one may round pixels differently.
    """
    digest = hashlib.sha256(repr((cv2.__version__, *facts)).encode())
    for path in paths:
        state = path.stat()
        digest.update(f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
