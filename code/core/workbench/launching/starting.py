"""What a job does first: it tells the queue which process it is, and becomes the training.

So no moment is left in which a training runs that the queue does not know.
"""

import os
import signal
import sys
from pathlib import Path

from core.machine.processes import Process
from core.workbench.launching.job_database import Job
from core.workbench.launching.jobs import JobQueue

CODE = Path(__file__).parents[3]
_BEGIN = (
    "import sys; sys.path[0] = {code!r}; from core.workbench.launching.starting import main; main()"
)


def starting(queue: JobQueue, job: Job, command: list[str]) -> list[str]:
    """The command line of a process that registers as the job, and then is `command`."""
    begin = _BEGIN.format(code=str(CODE))
    known = [str(queue.folder.resolve()), str(job.number), job.claim]
    return [sys.executable, "-c", begin, *known, *command]


def main() -> None:
    folder, number, claim, *command = sys.argv[1:]
    # A server that was started in the background ignores Ctrl-C, which ends a training tidily.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not JobQueue(Path(folder)).register(int(number), claim, Process.own()):
        sys.exit("The queue has given this job to another process")
    os.execv(command[0], command)
