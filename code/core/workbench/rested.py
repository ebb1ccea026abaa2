"""Answers that are remembered while nothing changes, and for some time though something does."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Times as long as it took, an answer is not computed again: a reviewer's machine has other work.
_REST = 4
Signature = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Known:
    answer: Any
    signature: Any
    rests_until: float


class Rested:
    """What was computed for each key, the `most` latest of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Hashable, _Known] = {}

    def get(self, key: Hashable, signature: Any, compute: Callable[[], Any]) -> Any:
        """The answer for a key, computed where its `signature` has changed since, but for rests."""
        known, began = self._known.get(key), time.monotonic()
        if known is None or (known.signature != signature and began > known.rests_until):
            answer = compute()
            ended = time.monotonic()
            known = _Known(answer, signature, ended + _REST * (ended - began))
            self._known = dict(list(self._known.items())[1 - self._most :]) | {key: known}
        return known.answer


def signature_of(path: Path) -> Signature:
    """What tells a file from what it was before; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
