"""The queue of trainings: a SQLite database of the user's, one for each machine.

It lies in the user's own folder, and not among the experiments: whoever hands on a folder of
experiments could otherwise hand on commands with it.
"""

import json
import os
import platform
import re
import sqlite3
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files.escaping import for_terminal
from core.machine.processes import Process, boot_id
from core.workbench.launching.job_database import COLUMNS, Job, as_job, connected, writing

QUEUED, RUNNING, ENDED = "queued", "running", "ended"
CPU, GPU = "cpu", "gpu"
_MOST_KEPT = 200


class JobQueue:
    """Jobs and their output in `folder`, which is made with the first of them.

    Methods may be called from any thread or process; what one returned is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "jobs.sqlite"

    def output(self, number: int) -> Path:
        """The file that a job prints to."""
        return self.folder / f"{number}.txt"

    def submit(self, request: str, folder: str, words: Sequence[str], **about: Any) -> int:
        """Add a job, with its `label`, `wants` and `num_devices`, and return its number.

        `request` is a name that the sender gives to this call: sending it twice adds one job. With
        an `experiment`, that one is continued.
        Raises InputError where nothing can be written, or the experiment is in the queue already.
        """
        values = {
            "request": request, "folder": folder, "words": json.dumps(list(words)),
            "cwd": str(Path.cwd()), "submitted_at": time.time(), **about,
        }  # fmt: skip
        with writing(self.database) as connection:
            known = "SELECT number FROM jobs WHERE request = ?"
            if found := connection.execute(known, [request]).fetchone():
                return found[0]
            active = "SELECT 1 FROM jobs WHERE state <> 'ended' AND folder = ? AND experiment = ?"
            if connection.execute(active, [folder, about.get("experiment")]).fetchone():
                raise InputError(f"{for_terminal(about['experiment'])}: is in the queue already")
            self._forget_the_oldest(connection)
            names = ", ".join(values)
            marks = ", ".join("?" * len(values))
            added = connection.execute(
                f"INSERT INTO jobs ({names}) VALUES ({marks}) RETURNING number", [*values.values()]
            )
            return added.fetchone()[0]

    def known(self, request: str) -> int | None:
        """The number of the job that this request added already."""
        if not self.database.is_file():
            return None
        with connected(self.database) as connection:
            query = "SELECT number FROM jobs WHERE request = ?"
            found = connection.execute(query, [request]).fetchone()
            return found and found[0]

    def jobs(self, *states: str) -> list[Job]:
        """All jobs, or those in these states, by their number."""
        if not self.database.is_file():
            return []
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        with connected(self.database) as connection:
            rows = connection.execute(f"SELECT {COLUMNS} FROM jobs {where} ORDER BY number", states)
            return [as_job(row) for row in rows]

    def find(self, number: int) -> Job | None:
        """The job with this number."""
        return next((job for job in self.jobs() if job.number == number), None)

    def claim(self, folder: str, devices: Collection[str], runner: Process) -> Job | None:
        """Take the next job of `folder` for which enough of the `devices` are free.

        A device is `cpu`, or the number of a GPU. A job is not overtaken by a later one that wants
        the same kind of device, unless it wants more than there are.
        """
        with writing(self.database) as connection:
            used = connection.execute("SELECT devices FROM jobs WHERE state = 'running'")
            busy = {device for (text,) in used for device in json.loads(text)}
            waiting = connection.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE state = 'queued' AND folder = ? "
                "ORDER BY number", [folder],
            )  # fmt: skip
            passed: set[str] = set()
            for job in map(as_job, waiting.fetchall()):
                alike = [d for d in devices if (d == CPU) == (job.wants == CPU)]
                if len(alike) < job.num_devices:
                    continue  # it waits for a server that has more
                free = [d for d in alike if d not in busy]
                if job.wants in passed or len(free) < job.num_devices:
                    passed.add(job.wants)
                    continue
                claim = os.urandom(16).hex()
                taken = json.dumps(free[: job.num_devices])
                row = connection.execute(
                    "UPDATE jobs SET state = 'running', devices = ?, started_at = ?, claim = ?, "
                    "runner_pid = ?, runner_began = ? WHERE number = ? AND state = 'queued' "
                    f"RETURNING {COLUMNS}",
                    [taken, time.time(), claim, runner.pid, runner.began, job.number],
                ).fetchone()
                return as_job(row)
        return None

    def register(self, number: int, claim: str, process: Process) -> bool:
        """Note which process is the job; false where it was given to another one meanwhile."""
        return self._update(
            "pid = ?, began = ?, boot = ? WHERE number = ? AND claim = ? AND pid IS NULL "
            "AND state = 'running'", process.pid, process.began, boot_id(), number, claim,
        )  # fmt: skip

    def give_back(self, job: Job) -> bool:
        """Queue again what a server took and never started, because it was killed."""
        return self._update(
            "state = 'queued', devices = '[]', started_at = NULL, claim = NULL "
            "WHERE number = ? AND claim = ? AND pid IS NULL AND state = 'running'",
            job.number, job.claim,
        )  # fmt: skip

    def ask_to_stop(self, number: int) -> bool:
        """Remove it from the queue or, if it is running, ask that it be stopped."""
        now = time.time()
        return self._update(
            "state = 'ended', status = 'removed', message = 'removed from the queue', "
            "ended_at = ? WHERE number = ? AND state = 'queued'", now, number,
        ) or self._update(
            "stop_asked_at = coalesce(stop_asked_at, ?) WHERE number = ? AND state = 'running'",
            now, number,
        )  # fmt: skip

    def count_signal(self, job: Job) -> bool:
        """Whether the next signal is for the caller to send; with the first, the waiting begins."""
        return self._update(
            "signals = signals + 1, "
            "stop_asked_at = CASE WHEN signals = 0 THEN ? ELSE stop_asked_at END "
            "WHERE number = ? AND state = 'running' AND signals = ?",
            time.time(), job.number, job.signals,
        )  # fmt: skip

    def note_experiment(self, number: int, name: str) -> bool:
        """Write which experiment a running job trains."""
        return self._update("experiment = ? WHERE number = ? AND state = 'running'", name, number)

    def end(self, job: Job, status: str, message: str) -> bool:
        """Note how a running job ended; false where another server did so already."""
        return self._update(
            "state = 'ended', ended_at = ?, status = ?, message = ? "
            "WHERE number = ? AND state = 'running' AND claim = ?",
            time.time(), status, message, job.number, job.claim,
        )  # fmt: skip

    def _update(self, change: str, *values: Any) -> bool:
        with writing(self.database) as connection:
            return connection.execute(f"UPDATE jobs SET {change}", values).rowcount > 0

    def _forget_the_oldest(self, connection: sqlite3.Connection) -> None:
        forgotten = connection.execute(
            "DELETE FROM jobs WHERE state = 'ended' AND number NOT IN (SELECT number FROM jobs "
            "WHERE state = 'ended' ORDER BY number DESC LIMIT ?) RETURNING number", [_MOST_KEPT],
        )  # fmt: skip
        for (number,) in forgotten.fetchall():
            with suppress(OSError):
                self.output(number).unlink()


def user_queue() -> JobQueue:
    """The queue of this user on this machine.

    Source: XDG Base Directory Specification 0.8, where a path that is not absolute is ignored.
    """
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    # A home may be shared by several machines, whose processes are unknown to each other.
    machine = re.sub(r"[^\w.-]", "_", platform.node()) or "machine"
    state = named if named.is_absolute() else Path.home() / ".local" / "state"
    return JobQueue(state / "steel_defects" / f"jobs_{machine}")
