"""Takes jobs from the queue, starts them, stops them, and notes how they ended."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

from core.errors import InputError
from core.experiments.lock import is_locked
from core.experiments.reading import RESULTS_FILE
from core.files.escaping import for_terminal
from core.machine.processes import Process, boot_id
from core.workbench.index import ABANDONED
from core.workbench.launching.job_database import Job
from core.workbench.launching.jobs import CPU, QUEUED, RUNNING, JobQueue
from core.workbench.launching.starting import CODE, starting
from core.workbench.summary import read_row

log = logging.getLogger(__name__)

TRAIN = (sys.executable, str(CODE / "train.py"))
_INTERVAL_SECONDS = 1.0
# After how many seconds which signal follows. The first lets a training save and end by itself; the
# seconds count from when it was sent, so that it is the first whenever a server is there again.
STEPS = ((0, signal.SIGINT), (60, signal.SIGTERM), (75, signal.SIGKILL))
_MOST_BYTES = 1 << 18
# The first line of a training that names its folder, see core/running.
_BEGINS = re.compile(rb"^(?:Experiment (.+)|Cross-validation (.+), \d+ folds)$", re.MULTILINE)


class Runner:
    """Runs the jobs of `results_dir`, and looks after all that are running on this machine.

    `ask` calls a function in another process; `num_gpus` counts the GPUs. Jobs go on when the
    runner, or its whole process, ends: the next one finds them.
    """

    def __init__(
        self,
        queue: JobQueue,
        results_dir: Path,
        ask: Callable[..., Any],
        num_gpus: Callable[[], int],
        command: Sequence[str] = TRAIN,
    ) -> None:
        self.queue = queue
        self.folder = str(results_dir.resolve())
        self._ask, self._command = ask, command
        self._count_gpus = cache(num_gpus)
        self._children: dict[int, subprocess.Popen] = {}
        self._ended, self._woken = Event(), Event()

    def watch(self) -> None:
        """Look after the jobs in a thread."""
        Thread(target=self._watch, name="jobs", daemon=True).start()

    def wake(self) -> None:
        """Look now: there is a new job, or one is to be stopped."""
        self._woken.set()

    def close(self) -> None:
        """End the thread, and leave the jobs alone."""
        self._ended.set()
        self._woken.set()

    def tick(self) -> None:
        """Look at every job once."""
        for child in self._children.values():
            child.poll()  # a child that ended stays a zombie until it is asked
        for job in self.queue.jobs(RUNNING):
            try:
                self._look_at(job)
            except InputError:
                raise
            except Exception:  # the other jobs have to be looked after
                log.exception("Job %d could not be looked after; trying again", job.number)
        while self.queue.jobs(QUEUED) and (
            job := self.queue.claim(self.folder, self._devices(), Process.own())
        ):
            self._start(job)

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self.tick()
            except InputError:  # a queue that cannot be read is reported where it is asked for
                pass
            except Exception:
                if not self._ended.is_set():
                    log.exception("The queue could not be looked after; trying again")
            self._woken.wait(_INTERVAL_SECONDS)
            self._woken.clear()

    def num_devices(self, wants: str) -> int:
        """How many devices of this kind there are."""
        return sum((device == CPU) == (wants == CPU) for device in self._devices())

    def _devices(self) -> list[str]:
        names = [str(number) for number in range(self._count_gpus())]
        if given := os.environ.get("CUDA_VISIBLE_DEVICES"):
            names = given.split(",")[: len(names)]
        return [CPU, *names]

    def _start(self, job: Job) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if job.wants != CPU:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(job.devices)
        try:
            # A file, since a pipe that nobody reads would stop the training once it is full.
            with self.queue.output(job.number).open("ab") as output:
                self._children[job.number] = subprocess.Popen(
                    starting(self.queue, job, [*self._command, *job.words]),
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    cwd=job.cwd, env=environment, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            self.queue.end(job, "failed", f"could not be started: {error.strerror}")

    def _look_at(self, job: Job) -> None:
        if job.process is None:
            self._look_at_claim(job)
            return
        experiment = job.experiment or self._find_experiment(job)
        # After a new start of the machine, its numbers are those of others.
        left = job.process.session() if job.boot == boot_id() else []
        is_alive = bool(left) and job.process.is_alive()
        # Another process may hold the lock: a training in a terminal, which refused this one.
        if is_alive or (left and experiment and is_locked(Path(job.folder, experiment))):
            self._stop(job)
            return
        for each in left:  # workers outlive a training that was killed
            each.send(signal.SIGKILL)
        # It may have named its folder after it was looked for, and then ended.
        experiment = experiment or self._find_experiment(job)
        self.queue.end(job, *self._outcome(job, experiment))
        self._children.pop(job.number, None)

    def _look_at_claim(self, job: Job) -> None:
        """A job that was taken from the queue, and has not told yet which process it is."""
        child = self._children.get(job.number)
        if child is not None and child.returncode is not None:
            self.queue.end(job, "failed", self._last_line(job) or "could not be started")
        elif not job.runner.is_alive():
            self.queue.give_back(job)

    def _stop(self, job: Job) -> None:
        if job.stop_asked_at is None:
            return
        if job.signals == len(STEPS):
            return
        seconds, number = STEPS[job.signals]
        is_due = job.signals == 0 or time.time() - job.stop_asked_at >= seconds
        # Of several servers over one queue, one sends it: a second Ctrl-C would lose the step.
        if not is_due or not self.queue.count_signal(job):
            return
        if number == signal.SIGKILL:
            for each in job.process.session():
                each.send(signal.SIGKILL)
        else:  # to the leader alone: it tells its workers
            job.process.send(number)

    def _find_experiment(self, job: Job) -> str | None:
        """The name of its folder in `job.folder`, from what it printed."""
        found = _BEGINS.search(self._printed(job, from_start=True))
        if found is None:
            return None
        name = Path(os.fsdecode(found[1] or found[2])).name
        if not Path(job.folder, name, RESULTS_FILE).is_file():
            return None
        self.queue.note_experiment(job.number, name)
        return name

    def _outcome(self, job: Job, experiment: str | None) -> tuple[str, str]:
        """The status and the message of its experiment or, where it made none, of the command."""
        mistake = self._last_line(job)
        if experiment is None:
            if job.stop_asked_at is not None:
                return "interrupted", "stopped before it began"
            return "failed", mistake or "ended before it began"
        row = self._ask(read_row, Path(job.folder, experiment))
        status = ABANDONED if row["status"] == "running" else row["status"]
        if mistake.startswith("error: ") and status != "completed":
            return "failed", mistake
        return status, row["message"]

    def _last_line(self, job: Job) -> str:
        lines = self._printed(job).decode(errors="replace").strip().splitlines()
        return for_terminal(lines[-1])[:1000] if lines else ""

    def _printed(self, job: Job, from_start: bool = False) -> bytes:
        with suppress(OSError), self.queue.output(job.number).open("rb") as stream:
            if not from_start:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _MOST_BYTES))
            return stream.read(_MOST_BYTES)
        return b""
