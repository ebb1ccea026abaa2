"""Joining the processes that train together, and leaving them so that none is left behind."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from core.errors import InputError

# How long a process waits for another, which may be filling a cache. One that has ended is noticed
# at once, by its connections.
_PATIENCE = timedelta(hours=12)
# What the first process may take to write down that another failed.
_LAST_WORDS = timedelta(seconds=20)
_GONE = re.compile(r"closed by peer|reset by peer|Broken pipe|Connection refused|failed to recv")
KILLED = (
    "runtime.devices: a process of this training was killed, often for want of memory: "
    "resume with resume=latest, or with fewer devices"
)
_FAILURE, _ENDED = "failure", "ended"


@dataclass(frozen=True)
class Place:
    """Which of the processes that were launched this is: in all, on its machine, of how many."""

    rank: int
    local_rank: int
    size: int


class OtherProcessError(RuntimeError):
    """Another process failed, by a defect; it has raised the error itself."""


class _Joined:
    """What this process shares with the others beside torch's own group: words under keys."""

    store: dist.Store | None = None
    job: dist.Store | None = None
    numbers = count()


@contextmanager
def joined(place: Place) -> Iterator[None]:
    """Be one of the processes that train together, for the time of the body.

    Which error ends one of them is told to the others. Each leaves after the first, which writes
    down how it all ended: a launcher ends all as soon as one has failed.

    Raises:
        InputError: another process failed, with its words.
    """
    _join(place)
    job = _Joined.job = dist.PrefixStore(f"job_{next(_Joined.numbers)}", _Joined.store)
    patience = _PATIENCE
    try:
        with others_may_fail():
            yield
    except BaseException as error:
        if isinstance(error, Exception):
            patience = _LAST_WORDS
            with suppress(RuntimeError):
                told = json.dumps([isinstance(error, InputError), str(error)])
                job.compare_set(_FAILURE, "", told)
        _close_connections()
        raise
    finally:
        # The store is gone where it was the first process's own, and that one has ended.
        with suppress(RuntimeError):
            job.set(_ENDED, "") if place.rank == 0 else job.wait([_ENDED], patience)


@contextmanager
def others_may_fail() -> Iterator[None]:
    """Tell of the error of another process instead of the connection that it closed.

    Raises:
        InputError: as said, or the other process was killed.
        OtherProcessError: it failed by a defect.
    """
    try:
        yield
    except RuntimeError as error:
        is_mistake, text = _failure_of_another() or (True, None)
        if text is None and not (_Joined.job and _GONE.search(str(error))):
            raise
        if not is_mistake:
            raise OtherProcessError(text) from error
        raise InputError(text or KILLED) from error


def _join(place: Place) -> None:
    """Open the connections; a process that is launched for several trainings keeps them."""
    if dist.is_initialized():
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    store, *_ = next(rendezvous("env://", place.rank, place.size, timeout=_PATIENCE))
    _Joined.store = store
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("group", store),
        rank=place.rank,
        world_size=place.size,
        timeout=_PATIENCE,
    )


def _close_connections() -> None:
    """So that whoever waits for this process hears of its end at once."""
    # A GPU's connections wait for what was begun on them, which may never come.
    closing = threading.Thread(target=dist.destroy_process_group, daemon=True)
    closing.start()
    closing.join(_LAST_WORDS.total_seconds())


def _failure_of_another() -> tuple[bool, str] | None:
    """Whether it was a user's mistake, and its words."""
    if _Joined.job is None:
        return None
    with suppress(RuntimeError):
        if _Joined.job.check([_FAILURE]):
            return tuple(json.loads(_Joined.job.get(_FAILURE)))
    return None
