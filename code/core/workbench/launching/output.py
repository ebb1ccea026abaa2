"""What a job printed, a part at a time."""

import os
from pathlib import Path
from typing import Any

from core.files.escaping import for_terminal

_MOST_BYTES = 1 << 16


def read_output(path: Path, start: int | None) -> dict[str, Any]:
    """The whole lines from the byte `start` on; None: the last ones.

    `next` is where to go on, `rest` the line that is being written, such as a progress bar.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            first = max(0, size - _MOST_BYTES) if start is None else min(start, size)
            stream.seek(first)
            content = stream.read(_MOST_BYTES)
    except OSError:
        return {"start": 0, "text": "", "next": 0, "rest": ""}
    skipped = content.find(b"\n") + 1 if start is None and first > 0 else 0
    end = content.rfind(b"\n") + 1
    if not end and len(content) == _MOST_BYTES:  # one line that is longer than all that is read
        end = len(content)
    lines = content[skipped:end].decode(errors="replace").split("\n")
    return {
        "start": first + skipped,
        "text": "\n".join(map(_as_seen, lines)),
        "next": first + end,
        "rest": _as_seen(content[end:].decode(errors="replace")),
    }


def _as_seen(line: str) -> str:
    """A line as a terminal shows it: what follows a carriage return replaces what was before."""
    return for_terminal(line.rstrip("\r").rpartition("\r")[2])
