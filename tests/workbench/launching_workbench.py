"""A workbench whose queue runs a stand-in for the training."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from running_workbench import Answer, Running, running

from core.workbench.launching.jobs import RUNNING, JobQueue
from core.workbench.launching.launcher import Launcher
from core.workbench.launching.schemas import describe_form

FAKE = [sys.executable, str(Path(__file__).with_name("fake_training.py"))]


described_once = cache(describe_form)


class OneAtATime:
    """Calls in this process what a server calls in a child, where questions wait too.

    A form is described once: it takes seconds.
    """

    def __init__(self) -> None:
        self._lock = Lock()

    def __call__(self, function: Any, *arguments: Any) -> Any:
        with self._lock:
            return described_once() if function is describe_form else function(*arguments)


@dataclass
class Launching:
    """A running workbench with its launcher; `tick` looks at the jobs once."""

    served: Running
    launcher: Launcher
    requests: int = field(default=0)

    def start(self, **values: Any) -> Answer:
        """Queue a training with these values, `__` standing for the dot of a key."""
        given = {key.replace("__", "."): value for key, value in values.items()}
        return self.served.post("/api/jobs", values=given, request=self.request())

    def request(self) -> str:
        self.requests += 1
        return f"request-{self.requests:08d}"

    def job(self, number: int) -> dict[str, Any]:
        jobs = self.served.ask("/api/jobs").json()["jobs"]
        return next(job for job in jobs if job["number"] == number)

    def until(self, number: int, *states: str, seconds: float = 60) -> dict[str, Any]:
        """The job as the page sees it, once it is in one of the states and has its experiment.

        It may yet have to be queued, where a page was asked to do so.
        """
        end = time.monotonic() + seconds
        while True:
            self.launcher.runner.tick()
            self.launcher.index.update()
            jobs = self.served.ask("/api/jobs").json()["jobs"]
            job = next((job for job in jobs if job["number"] == number), {"state": None})
            if job["state"] in states and (job["state"] != RUNNING or job["experiment"]):
                return job
            assert time.monotonic() < end, job
            time.sleep(0.02)


@contextlib.contextmanager
def launching(results_dir: Path, queue_dir: Path, fake: bool = True, **how: Any) -> Iterator[Any]:
    """Serve `results_dir` with a queue in `queue_dir`; nothing is left running at the end."""
    queue, made = JobQueue(queue_dir), []
    command = {"command": [*FAKE, str(results_dir)]} if fake else {}

    def launcher_of(index):
        data_root = how.get("data_root")
        made.append(Launcher(index, queue, OneAtATime(), data_root, **command))
        return made[0]

    try:
        with running(results_dir, launcher_of=launcher_of, **how) as served:
            yield Launching(served, made[0])
    finally:
        for job in queue.jobs(RUNNING):
            for each in job.process.session() if job.process else ():
                each.send(signal.SIGKILL)
