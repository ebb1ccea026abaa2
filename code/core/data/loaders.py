"""Batches of samples whose order and pixels depend on seed and epoch, not on the workers."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from core.data.dataset import StripDataset
from core.data.sampling import EpochSampler
from core.errors import InputError


class StripLoader(DataLoader):
    """A DataLoader with `set_epoch`, in which a worker's InputError stays an InputError.

    `finish` does to each batch, in this process, what is left of its transform.
    """

    finish: Callable[[dict[str, Any]], dict[str, Any]] = staticmethod(lambda batch: batch)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Set the epoch of the order and of the transform; call it before each pass.

        The next pass begins at `start_batch`, counted from 0.
        """
        self.sampler.set_epoch(epoch, start_batch * self.batch_size)
        self.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            yield from map(self.finish, super().__iter__())
        except InputError as error:
            # Its traceback is part of a reference cycle with the iterator, whose workers would
            # not hear of their end from the garbage collector and be awaited for seconds each.
            error.with_traceback(None)
            self._iterator = None
            raise InputError(_last_line(error)) from None


def _last_line(error: InputError) -> str:
    """The line of the error itself; from a worker it comes after the text of a traceback."""
    text = str(error.args[0])
    if not text.startswith("Caught "):
        return text
    return text.strip().splitlines()[-1].partition(": ")[2]


def make_loader(
    dataset: StripDataset,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
    weights: np.ndarray | None = None,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> StripLoader:
    """Batches of a data set; `shuffle` is for training, and `weights` draws by probability.

    Without weights a pass has every image exactly once. A last training batch of a single image
    is dropped, since BatchNorm cannot take a variance from it.
    """
    single = batch_size > 1 and len(dataset) > batch_size and len(dataset) % batch_size == 1
    return StripLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed, shuffle, weights),
        num_workers=num_workers,
        drop_last=shuffle and single,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        collate_fn=dict,  # the data set hands over whole batches
        worker_init_fn=start_worker,
        # Its own, since DataLoader would otherwise draw from torch's global generator.
        generator=torch.Generator().manual_seed(seed),
    )


def start_worker(_worker: int) -> None:
    cv2.setNumThreads(0)
    # A signal may reach all processes of a run; the main one decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker at a SIGTERM from its parent, and at no other."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
