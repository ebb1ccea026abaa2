"""Files that have the same bytes, whatever they are called."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.files.reading import read_bytes

_LARGEST_FILE = 1 << 30


def same_content(paths: Iterable[Path], known: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Each of `paths` that has the bytes of a file in `known`, with that file.

    Only files of a size that both sides have are read. `paths` may be many: one is held at a time.
    """
    by_size: dict[int, list[Path]] = {}
    for path in known:
        by_size.setdefault(path.stat().st_size, []).append(path)
    digests: dict[int, dict[str, Path]] = {}
    for path in paths:
        size = path.stat().st_size
        if size not in by_size:
            continue
        if size not in digests:
            digests[size] = {_digest(each): each for each in by_size[size]}
        if (same := digests[size].get(_digest(path))) is not None:
            yield path, same


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, _LARGEST_FILE)).hexdigest()
