"""The files that the server hands out, by known names: its pages, and those of experiments."""

import gzip
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.files.reading import MEBIBYTE

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PLAIN = "text/plain; charset=utf-8"
# What an experiment's folder may hold, and how a browser is to take it.
OF_EXPERIMENT = {
    "report.html": _TYPES[".html"],
    "MODEL_CARD.md": _PLAIN,
    "results.json": _PLAIN,
    "config.yaml": _PLAIN,
    "train.log": _PLAIN,
    "predictions.csv": _PLAIN,
    "split.csv": _PLAIN,
    "duplicates.csv": _PLAIN,
    "label_errors.csv": _PLAIN,
    "history.png": "image/png",
    "view_pairs.jpg": "image/jpeg",
    "painted_strips.jpg": "image/jpeg",
}
_MOST_BYTES = 64 * MEBIBYTE
FIRST_PAGE = "index.html"


@dataclass(frozen=True)
class Asset:
    """A file of the pages, also `zipped` by gzip, with what names its content."""

    content: bytes
    media_type: str
    tag: str
    zipped: bytes


def read_assets() -> tuple[str, dict[str, Asset]]:
    """The pages' own files, by the name under which a browser asks for them, and their version.

    The first page asks for the others in a folder of that name, so that a browser may keep them.
    """
    folder = Path(__file__).with_name("pages")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES]
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    version = hashlib.sha256(b"".join(contents.values())).hexdigest()[:16]
    contents[FIRST_PAGE] = contents[FIRST_PAGE].replace(b"pages/", f"pages/{version}/".encode())
    return version, {name: _asset(name, content) for name, content in contents.items()}


def _asset(name: str, content: bytes) -> Asset:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Asset(content, _TYPES[Path(name).suffix], tag, gzip.compress(content, mtime=0))


def files_of(folder: Path) -> list[str]:
    """Which of the known files an experiment has."""
    try:
        there = set(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
    return [name for name in OF_EXPERIMENT if name in there]


def read_file(folder: Path, known: str) -> bytes:
    """A known file of an experiment; links are not followed, since they may lead anywhere.

    Raises InputError for what is no plain file, or too large.
    """
    try:
        with open(folder / known, "rb", opener=_open) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise InputError(f"{known}: not a plain file of at most {_MOST_BYTES} bytes")
            return stream.read(_MOST_BYTES)
    except OSError as error:
        raise InputError(f"{known}: cannot be read ({error.strerror})") from None


def _open(path: str, flags: int) -> int:
    # Nobody may ever write to a pipe. Windows has neither flag.
    more = ("O_NOFOLLOW", "O_NONBLOCK")
    return os.open(path, flags | sum(getattr(os, name, 0) for name in more))
