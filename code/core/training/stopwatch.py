"""Seconds that go on over interruptions, whatever happens to the clock on the wall."""

import time


class Stopwatch:
    """Runs from its making on; `earlier_seconds` are those of the processes before this one."""

    def __init__(self, earlier_seconds: float = 0.0) -> None:
        self._earlier_seconds = earlier_seconds
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._earlier_seconds + time.perf_counter() - self._started
