"""One process of tests more than cores: it takes those that wait, for a browser or for each other.

Processes that compute all the time only get in each other's way when they are more than cores.
"""

import os

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

WAITING = "tests/workbench/"


def number_of_processes(chosen: str) -> int:
    """For the tests that `-m` chooses: those that wait are slow ones."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return cores + ("not slow" not in chosen)


class WaitingBeside(LoadFileScheduling):
    """Files go to processes in the order of their collection, those that wait to the last one."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        *others, last = self.nodes
        waits = bool(others) and node is last
        wanted = (file for file in self.workqueue if file.startswith(WAITING) == waits)
        if file := next(wanted, None):
            self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)
