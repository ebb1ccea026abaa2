"""The device that computes, and its threads and memory."""

import ctypes
import os

import torch

from core.errors import InputError
from core.machine import distributed

# As malloc.h numbers them.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def choose_device(wanted: str = "auto", num_threads: int | None = None) -> torch.device:
    """The requested device, InputError if torch has none; also sets its number of threads."""
    if num_threads := num_threads or threads_of_each_process():
        torch.set_num_threads(num_threads)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "runtime.device='cuda': torch finds no CUDA device here: use runtime.device=cpu or auto"
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def threads_of_each_process() -> int | None:
    """This machine's cores per process that torch's elastic launch started; None: torch decides."""
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    if distributed.size() == 1 or processes is None or "OMP_NUM_THREADS" in os.environ:
        return None
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, cores // int(processes))


def keep_freed_memory() -> None:
    """Make the C library keep the memory of freed tensors for later ones.

    By default it returns large blocks to the system, which must clear them again page by page: on a
    CPU that takes a sixth of a step's time. Does nothing without glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
