"""A tracker, and how it follows a training without ever costing it."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from core.errors import described

log = logging.getLogger(__name__)

_PARTS = ("test", "test_at_thresholds", "train", "spread")
# To send what is left when a training has ended.
_LAST_SECONDS = 30.0


class Tracker(ABC):
    """Sends what results.json holds to another place. Any of its methods may raise."""

    is_remote: ClassVar[bool] = False
    """Whether it waits for others: it then works in a thread of its own."""

    @classmethod  # noqa: B027
    def check(cls) -> None:
        """Raise InputError where a package or an address is missing."""

    @abstractmethod
    def __init__(self, path: Path) -> None:
        """Begin to follow the experiment in `path`."""

    @abstractmethod
    def follow(self, results: dict[str, Any]) -> None:
        """Send what is new in `results`, which is all that results.json holds by now.

        Several writings may come as one: each holds all that came before.
        """

    @abstractmethod
    def close(self) -> None:
        """The training has ended; the last results say how."""


class Following:
    """A tracker that works at once. Its first error ends it, with one warning."""

    def __init__(self, name: str, build: Callable[[Path], Tracker], path: Path) -> None:
        self.name, self.is_on = name, True
        self._build = lambda: build(path)
        self.tracker: Tracker | None = None

    def follow(self, results: dict[str, Any]) -> None:
        """Called with what was written to results.json."""
        self._do(lambda: self._begun().follow(results))

    def _begun(self) -> Tracker:
        """Built with the first results: only then does this process hold the folder's lock."""
        self.tracker = self.tracker or self._build()
        return self.tracker

    def close(self) -> None:
        """The training has ended."""
        if self.tracker:
            self._do(self.tracker.close)

    def _do(self, work: Callable[[], None]) -> None:
        if not self.is_on:
            return
        try:
            work()
        except Exception as error:
            self.give_up(described(error))

    def give_up(self, why: str) -> None:
        """Warn, once, that nothing more is sent."""
        if self.is_on:
            self.is_on = False
            log.warning("training.trackers: %s is off, the training goes on: %s", self.name, why)


class FollowingInThread(Following):
    """A tracker that works in a thread of its own, and may be slow.

    The queue holds one writing of results.json, the latest: a training never waits for its tracker,
    and what waits takes no more memory however long.
    """

    def __init__(self, name: str, build: Callable[[Path], Tracker], path: Path) -> None:
        self.name, self.is_on = name, True
        self._latest: dict[str, Any] | None = None
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._run, args=(build, path), name=f"tracker {name}", daemon=True
        )
        self._thread.start()

    def follow(self, results: dict[str, Any]) -> None:
        """Leave the results for the thread."""
        with self._changed:
            self._latest = results
            self._changed.notify()

    def close(self) -> None:
        """Wait until the thread has sent what is left, for some seconds at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(_LAST_SECONDS)
        if self._thread.is_alive():
            self.give_up(f"not everything was sent within {_LAST_SECONDS:.0f} seconds")

    def _run(self, build: Callable[[Path], Tracker], path: Path) -> None:
        try:
            tracker = None
            while (results := self._next()) is not None:
                tracker = tracker or build(path)
                tracker.follow(results)
            if tracker:
                tracker.close()
        except Exception as error:
            self.give_up(described(error))

    def _next(self) -> dict[str, Any] | None:
        """The latest results, once there are some; None where the training has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None or self._is_closing)
            results, self._latest = self._latest, None
            return results


def numbers(nested: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """{"train": {"loss": 1}} as {"train/loss": 1.0}, without what is no number."""
    found: dict[str, float] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[f"{prefix}{key}"] = float(value)
    return found


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """The figures of each part that results.json holds by now, without their intervals."""
    return {
        part: {key: value for key, value in results[part].items() if key != "intervals"}
        for part in _PARTS
        if isinstance(results.get(part), dict)
    }
