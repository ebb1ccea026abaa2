"""Join the processes that train together, and leave so that no process is left behind."""

import atexit
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from core.errors import InputError
from core.machine.processes import IS_SUPPORTED, Process, numbering

# How long a process waits for another, which may be filling a cache. A process that ended is
# noticed at once by its closed connections.
_PATIENCE = timedelta(hours=12)
# The time the first process gets to record that all were stopped, or that all failed.
_LAST_WORDS, _FEW_WORDS = timedelta(seconds=20), timedelta(seconds=1)
_LOOK_SECONDS = 0.05
_GONE = re.compile(r"closed by peer|reset by peer|Broken pipe|Connection refused|failed to recv")
KILLED = (
    "runtime.devices: a process of this training was killed, often for want of memory: "
    "resume with resume=latest, or with fewer devices"
)
_FAILURE, _ENDED = "failure", "ended"


@dataclass(frozen=True)
class ProcessRank:
    """The rank of this process, overall and on its machine, and the number of processes."""

    rank: int
    local_rank: int
    size: int


class OtherProcessError(RuntimeError):
    """Another process failed because of a bug; that process raises the error itself."""


class _Joined:
    """Key-value stores that this process shares with the others, besides torch's own group."""

    store: dist.Store | None = None
    job: dist.Store | None = None
    numbers = count()
    is_whole = True


@contextmanager
def joined(place: ProcessRank) -> Iterator[None]:
    """Be one of the processes that train together while the body runs.

    An error in one process is reported to the others, which raise it as `others_may_fail` does.
    Each leaves after the first process, which writes down how the run ended: a launcher kills all
    processes as soon as one ends. A process that fails alone is noticed by its closed connections.
    """
    _join(place)
    job = _Joined.job = dist.PrefixStore(f"job_{next(_Joined.numbers)}", _Joined.store)
    patience = _PATIENCE
    try:
        with others_may_fail():
            yield
    except KeyboardInterrupt:
        patience = _LAST_WORDS
        raise
    except Exception as error:
        patience, _Joined.is_whole = _FEW_WORDS, False
        with suppress(RuntimeError):
            told = json.dumps([isinstance(error, InputError), str(error)])
            job.compare_set(_FAILURE, "", told)
        raise
    finally:
        # The store is gone if the first process hosted it and has ended.
        with suppress(RuntimeError):
            job.set(_ENDED, "") if place.rank == 0 else _wait_for_first(job, patience)


@contextmanager
def others_may_fail() -> Iterator[None]:
    """Report another process's error instead of its symptom in this one.

    Symptoms are a closed connection, or the signal of a launcher that ends all processes. Raises
    InputError where the other process raised one or was killed, OtherProcessError after a bug.
    """
    try:
        yield
    except (RuntimeError, KeyboardInterrupt) as error:
        is_mistake, text = _failure_of_another() or (True, None)
        if text is None and not _one_is_gone(error):
            raise
        if not is_mistake:
            raise OtherProcessError(text) from error
        raise InputError(text or KILLED) from error


def _wait_for_first(job: dist.Store, patience: timedelta) -> None:
    # Store.wait cannot be interrupted, and prints a warning when it gives up.
    end = time.monotonic() + patience.total_seconds()
    while not job.check([_ENDED]) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)


def _join(place: ProcessRank) -> None:
    """Open the connections; a process that runs several trainings keeps them."""
    if dist.is_initialized():
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    store, *_ = next(rendezvous("env://", place.rank, place.size, timeout=_PATIENCE))
    _Joined.store = store
    own = Process.own() if IS_SUPPORTED else None
    store.set(_process_key(place.rank), json.dumps(own and [numbering(), own.pid, own.began]))
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("group", store),
        rank=place.rank,
        world_size=place.size,
        timeout=_PATIENCE,
    )
    atexit.register(_leave)


def _leave() -> None:
    """After a failure, an operation on a connection may never end."""
    if _Joined.is_whole:
        dist.destroy_process_group()


def _failure_of_another() -> tuple[bool, str] | None:
    """Whether it was a user's mistake, and its message."""
    if _Joined.job is None:
        return None
    with suppress(RuntimeError):
        if _Joined.job.check([_FAILURE]):
            return tuple(json.loads(_Joined.job.get(_FAILURE)))
    return None


def _one_is_gone(error: BaseException) -> bool:
    """Whether a connection was closed, or a launcher stopped this process after another ended.

    A training that ends because one of its processes was killed was not stopped by its user.
    """
    if _Joined.job is None:
        return False
    if isinstance(error, RuntimeError):
        return bool(_GONE.search(str(error)))
    with suppress(RuntimeError):
        # All end soon after the first one did.
        in_order = _Joined.job.check([_ENDED])
        return not in_order and any(map(_has_ended, range(dist.get_world_size())))
    return False


def _has_ended(rank: int) -> bool:
    """Whether a process has; false where this one cannot see it, as on another machine."""
    noted = json.loads(_Joined.store.get(_process_key(rank)))
    if noted is None:
        return False
    where, pid, began = noted
    return where == numbering() != [] and not Process(pid, began).is_alive()


def _process_key(rank: int) -> str:
    return f"process_{rank}"
