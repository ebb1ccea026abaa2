"""The rank of this process, from the environment that torchrun or SLURM sets."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.errors import EXIT_CODE, InputError

if TYPE_CHECKING:
    from core.machine.process_group import ProcessRank

_LAST_PORT = 65_000
_NUM_PORTS = 20_000


@contextmanager
def as_launched(tells_all: bool = False) -> Iterator[None]:
    """Be one of the processes that a launcher started; without a launcher, do nothing.

    Only the first process logs. Unless `tells_all`, the others end silently on a user's mistake,
    which the first one reports.
    """
    place = launched_place(os.environ)
    if place is None:
        yield
        return
    from core.machine.process_group import joined  # needs torch

    if "MASTER_ADDR" not in os.environ:
        os.environ |= meeting_point(os.environ)
    # Harmless: depthwise convolutions on a CPU cause a copy.
    warnings.filterwarnings("ignore", "Grad strides do not match")
    if place.rank > 0:
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
    try:
        with joined(place):
            yield
    except InputError:
        if place.rank > 0 and not tells_all:
            sys.exit(EXIT_CODE)
        raise


def launched_place(environment: Mapping[str, str]) -> "ProcessRank | None":
    """The rank that torch's launchers or SLURM's srun give this process; None: it is alone.

    The script of an sbatch job sees SLURM's variables too, before srun starts anything.
    """
    of_torch = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    of_slurm = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS")
    is_script = "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment
    for names in (of_torch, of_slurm):
        if all(name in environment for name in names):
            from core.machine.process_group import ProcessRank

            place = ProcessRank(*(int(environment[name]) for name in names))
            if place.size > 1 and not (names is of_slurm and is_script):
                return place
    return None


def meeting_point(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the processes of a SLURM job step meet: on its first machine, at a port of the job."""
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    # Such as `gpu[03-05,9],big1`.
    first = re.match(r"([^,\[]+)(?:\[(\w+))?", nodes or "localhost")
    job = int(environment.get("SLURM_JOB_ID", 0)) + int(environment.get("SLURM_STEP_ID", 0))
    port = _LAST_PORT - job % _NUM_PORTS
    return {"MASTER_ADDR": "".join(filter(None, first.groups())), "MASTER_PORT": str(port)}
