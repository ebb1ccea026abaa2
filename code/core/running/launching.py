"""Run a training in one process or in several; start them unless a launcher did."""

import json
import logging
import multiprocessing
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from core.command.config import TrainConfig
from core.command.mistakes import start_log
from core.errors import InputError
from core.machine.device import choose_device
from core.machine.distributed import is_first, size
from core.machine.interruption import handling_signals
from core.machine.process_group import KILLED, OtherProcessError
from core.running.launched_place import as_launched
from core.running.out_of_memory import AUTO
from core.training.trackers import check_trackers

log = logging.getLogger(__name__)

Work = Callable[[], dict[str, Any]]

_START_METHOD = "spawn"
# The third signal kills.
_PATIENT_SIGNALS = 2


def launch(config: TrainConfig, work: Work) -> dict[str, Any]:
    """Do `work` in `runtime.devices` processes, or in those that a launcher started.

    With one process, it is done in this one. `work` is sent to the processes, so it must be
    importable. Raises InputError for a user's mistake in any process, and for more devices than
    there are, or than a batch has images; KeyboardInterrupt if the processes were asked to stop,
    and did.
    """
    check_devices(config)
    check_trackers(config.training.trackers)
    if size() > 1 or config.runtime.devices == 1:
        return work()
    return _in_processes(config.runtime.devices, work)


def check_devices(config: TrainConfig) -> None:
    """Raise InputError where the config cannot be trained on this number of devices."""
    devices, launched, batch_size = config.runtime.devices, size(), config.data.batch_size
    device = choose_device(config.runtime.device)
    if launched > 1 and devices not in (1, launched):
        raise InputError(
            f"runtime.devices={devices}: the launcher has started {launched} processes: leave "
            "runtime.devices out, or give the same number"
        )
    devices = max(devices, launched)
    if devices == 1:
        return
    if launched == 1 and device.type == "cuda" and devices > torch.cuda.device_count():
        raise InputError(
            f"runtime.devices={devices}: there are {torch.cuda.device_count()} GPUs here, and each "
            "process takes one: give fewer, or runtime.device=cpu"
        )
    if batch_size == AUTO:
        raise InputError(
            f"data.batch_size=auto: finds what one device holds, and runtime.devices={devices} "
            "share a batch: give a number"
        )
    if batch_size < devices:
        raise InputError(
            f"data.batch_size={batch_size}: holds fewer images than runtime.devices={devices}, "
            "which share it: give fewer devices, or a larger batch"
        )


def _in_processes(devices: int, work: Work) -> dict[str, Any]:
    # Imported here because it takes a second, which a single process can save.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # torch would report a failure at length, which is reported in one line.
    quiet = ("torch.distributed.elastic", "torch.distributed.launcher", "torch.multiprocessing")
    for name in (*quiet, *logging.Logger.manager.loggerDict):
        if name.startswith(quiet):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with tempfile.TemporaryDirectory() as folder, _signals_passed_on() as asked:
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            start_method=_START_METHOD,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            # This module passes on the signals that stop a training.
            signals_to_handle="SIGQUIT",
        )
        try:
            outcomes = elastic_launch(settings, _one_of_several)(work)
        except ChildFailedError as error:
            _tell(error, Path(folder), asked)
    if outcomes[0] is None:
        raise KeyboardInterrupt
    return outcomes[0]


def _one_of_several(work: Work) -> dict[str, Any] | None:
    """Run in each process. Returns the results in the first one; None if asked to stop."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Those that read images are started as in a training of one process: not spawned, as this was.
    multiprocessing.set_start_method(None, force=True)
    start_log()
    try:
        with as_launched(tells_all=True):
            results = work()
            return results if is_first() else {}
    except KeyboardInterrupt:
        return None
    except Exception:
        # This process is ending, and the launcher now sends a signal to the others.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise


@contextmanager
def _signals_passed_on() -> Iterator[list[int]]:
    """Pass signals on to the processes; yields the signals received."""
    asked: list[int] = []

    def pass_on(number: int, _frame: Any) -> None:
        asked.append(number)
        stop = signal.SIGTERM if len(asked) <= _PATIENT_SIGNALS else signal.SIGKILL
        processes = multiprocessing.active_children()
        if not processes:
            raise KeyboardInterrupt
        for process in processes:
            os.kill(process.pid, stop)

    with handling_signals(pass_on, signal.SIGQUIT):
        yield asked


def _tell(failed: Exception, folder: Path, asked: list[int]) -> NoReturn:
    """Raise the error that ended the processes, read from the files they left."""
    errors = [json.loads(file.read_text())["message"] for file in folder.rglob("error.json")]
    errors.sort(key=lambda error: int(error["extraInfo"]["timestamp"]))
    # Some processes only noticed that another one failed.
    first, *_ = sorted(errors, key=partial(_is_of, OtherProcessError)) or [None]
    if first and _is_of(InputError, first):
        raise InputError(first["message"].partition(": ")[2]) from None
    if asked:
        raise KeyboardInterrupt from None
    if first:
        raise RuntimeError(first["extraInfo"]["py_callstack"]) from None
    raise InputError(KILLED) from failed


def _is_of(kind: type[Exception], error: dict[str, Any]) -> bool:
    return error["message"].startswith(f"{kind.__name__}: ")
