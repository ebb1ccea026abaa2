"""Forms, and the jobs that come of them: what the addresses call."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from core.command.config import RESUME
from core.errors import InputError
from core.experiments.lock import is_locked
from core.files.escaping import for_terminal
from core.machine.processes import IS_SUPPORTED
from core.workbench.child import ChildProcess
from core.workbench.index import ExperimentIndex, Found, key_of
from core.workbench.launching.checking import (
    check_words,
    count_gpus,
    devices_of,
    estimated,
    path_in,
    standards,
)
from core.workbench.launching.cloning import cloned, read_config
from core.workbench.launching.cluster import batch_script, command_line
from core.workbench.launching.job_database import Job
from core.workbench.launching.jobs import CPU, ENDED, QUEUED, RUNNING, JobQueue
from core.workbench.launching.overrides import hydra_text, override_words
from core.workbench.launching.places import Places, described, places
from core.workbench.launching.runner import Runner
from core.workbench.launching.schemas import CHOOSING, describe_form, settable

RESUMABLE = ("interrupted", "failed", "no process")
_KINDS = ("classification", "cross-validation")
_MOST_OFFERED = 20
_OF_ROW = ("key", "name", "status")


class Launcher:
    """What may be trained, and the queue of what is. `ask` calls what takes long elsewhere."""

    def __init__(
        self,
        index: ExperimentIndex,
        queue: JobQueue,
        ask: Callable[..., Any],
        data_root: Path | None = None,
        **of_runner: Any,
    ) -> None:
        self.index, self.queue, self.data_root = index, queue, data_root
        self._ask = ask
        self._lock, self._measuring = Lock(), Lock()
        self._form: dict[str, Any] | None = None
        self.runner = Runner(queue, index.results_dir, ask, partial(ask, count_gpus), **of_runner)

    def form(self) -> dict[str, Any]:
        """The schemas, described once; a change of the code shows after a new start."""
        with self._lock:
            self._form = self._form or self._ask(describe_form)
        return self._form

    def places(self) -> Places:
        """The paths that may be chosen now."""
        return places(self.index, self.data_root)

    def described(self) -> dict[str, Any]:
        """All that the page draws a form from."""
        return {**self.form(), "places": described(self.places())}

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The words of these values, or the `problem` and the `path` of its key."""
        try:
            words = override_words(values, settable(self.form()), self.places())
        except InputError as error:
            problem = str(error)
            path = next((key for key in values if problem.startswith((f"{key}:", f"{key}="))), "")
            return {"problem": problem, "path": path}
        checked = self._ask(check_words, words, str(self.index.results_dir))
        if "problem" in checked:
            return checked
        return {
            **checked,
            "command": command_line(checked["words"]),
            "script": batch_script(checked["name"], checked["words"], checked["num_gpus"]),
        }

    def standards(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What each key has by the files and components among the `values`.

        Raises InputError where these cannot be composed.
        """
        words = override_words(values, settable(self.form()), self.places())
        return self._ask(standards, [word for word in words if word.partition("=")[0] in CHOOSING])

    def estimate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a training will take, measured; or what `check` or the training has against it.

        Raises InputError where one is being measured.
        """
        checked = self.check(values)
        if "problem" in checked:
            return checked
        if not self._measuring.acquire(blocking=False):
            raise InputError("Another estimate is being measured: wait for it")
        try:
            # Of its own, so that nothing else waits, and the device is free afterwards.
            child = ChildProcess()
            try:
                measured = child(estimated, checked["words"])
            except InputError as error:
                return {"problem": str(error), "path": path_in(str(error), checked["words"])}
            finally:
                child.close()
        finally:
            self._measuring.release()
        return {**measured, "beside": bool(self.queue.jobs(RUNNING))}

    def clone(self, found: Found) -> dict[str, Any]:
        """The values of a form that are those of an experiment, and what it cannot take over."""
        values, lost = cloned(self._ask(read_config, found.path), self.form(), self.places())
        return {"values": values, "lost": [for_terminal(line) for line in lost]}

    def command_of(self, found: Found, *more: str) -> dict[str, Any]:
        """The command that trains as an experiment did, with some more words, and what it leaves
        out; or the `problem`.
        """
        clone = self.clone(found)
        checked = self.check(clone["values"])
        if "problem" in checked:
            return checked
        return {"command": command_line([*checked["words"], *more]), "lost": clone["lost"]}

    def submit(self, values: Mapping[str, Any], request: str) -> dict[str, Any]:
        """Queue a training; its `number`, or what `check` has against it."""
        if (number := self.queue.known(request)) is not None:
            return {"number": number}
        checked = self.check(values)
        if "problem" in checked:
            return checked
        about = {name: checked[name] for name in ("wants", "num_devices")}
        return self._queue(request, checked["words"], label=checked["name"], **about)

    def resume(self, found: Found, request: str) -> dict[str, Any]:
        """Queue that an experiment be continued. Raises InputError where it cannot be."""
        if (number := self.queue.known(request)) is not None:
            return {"number": number}
        name = for_terminal(found.name)
        key = key_of(found.name)
        row = next((row for row in self.index.rows()[0] if row["key"] == key), None)
        if row is None or not _may_be_resumed(row):
            raise InputError(f"{name}: cannot be resumed: expected a training that was interrupted")
        if is_locked(found.path):
            raise InputError(f"{name}: another process is training in it: wait for it, or stop it")
        values = row["values"]
        device, number = values.get("runtime.device", "auto"), values.get("runtime.devices", 1)
        about = self._ask(devices_of, device, number)
        words = [f"{RESUME}={hydra_text(str(found.path))}"]
        return self._queue(request, words, label=name, experiment=found.name, **about)

    def stop(self, number: int) -> bool:
        """Ask that a job be stopped or, if it waits, take it from the queue."""
        asked = self.queue.ask_to_stop(number)
        self.runner.wake()
        return asked

    def jobs(self) -> dict[str, Any]:
        """The queue as the page shows it, the newest first, and what may be resumed."""
        jobs = self.queue.jobs()
        rows = {row["key"]: row for row in self.index.rows()[0]}
        active = {key_of(j.experiment) for j in jobs if j.experiment and j.state != ENDED}
        resumable = sorted(
            (row for key, row in rows.items() if _may_be_resumed(row) and key not in active),
            key=lambda row: str(row["values"].get("created")), reverse=True,
        )[:_MOST_OFFERED]  # fmt: skip
        return {
            "jobs": [self._shown(job, rows) for job in reversed(jobs)],
            "resumable": [{name: row[name] for name in _OF_ROW} for row in resumable],
        }

    def _shown(self, job: Job, rows: Mapping[str, Any]) -> dict[str, Any]:
        shown = {
            name: getattr(job, name)
            for name in ("number", "label", "state", "status", "devices", "submitted_at",
                         "started_at", "ended_at")
        }  # fmt: skip
        is_here = job.folder == self.runner.folder
        row = rows.get(key_of(job.experiment)) if job.experiment and is_here else None
        values = row["values"] if row else {}
        return {
            **shown,
            "command": command_line(job.words),
            "message": job.message or self._why_waiting(job),
            "stopping": job.stop_asked_at is not None and job.state != ENDED,
            "elsewhere": None if is_here else for_terminal(job.folder),
            "experiment": row and {"key": row["key"], "name": row["name"]},
            "epochs": [values.get("epochs") or 0, values.get("planned_epochs")],
        }

    def _why_waiting(self, job: Job) -> str:
        if job.state != QUEUED or job.wants == CPU:
            return ""
        found = self.runner.num_devices(job.wants)
        return f"wants {job.num_devices} GPUs of {found}" if found < job.num_devices else ""

    def _queue(self, request: str, words: list[str], **about: Any) -> dict[str, Any]:
        if not IS_SUPPORTED:
            raise InputError("This system has no /proc, by which a queue knows its jobs: copy the "
                             "command line and run it in a terminal")  # fmt: skip
        number = self.queue.submit(request, self.runner.folder, words, **about)
        self.runner.wake()
        return {"number": number}


def _may_be_resumed(row: Mapping[str, Any]) -> bool:
    return row["status"] in RESUMABLE and row["values"].get("kind") in _KINDS
