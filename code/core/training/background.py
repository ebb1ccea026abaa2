"""Writing in the background: the thread that writes, and a copy of what it writes."""

import _thread
import copy
from collections.abc import Callable
from concurrent.futures import Future, wait
from itertools import chain, repeat
from typing import Any

import torch
from torch import Tensor


class Background:
    """One piece of work at a time, done by a thread while the training goes on."""

    def __init__(self) -> None:
        self._work: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Do `work` after the piece of work before it. Raises the error of that one."""
        self.wait()
        self._work = Future()
        try:
            # A Thread, or an executor, that a signal meets while it starts cannot be waited for.
            _thread.start_new_thread(_do, (work, self._work))
        except RuntimeError:
            # The system has no thread left.
            _do(work, self._work)

    def check(self) -> None:
        """Raise the error of the work if it has failed by now."""
        if self._work is not None and self._work.done():
            self.wait()

    def wait(self) -> None:
        """Return when the work is done. Raises its error, if any, once.

        A signal in the meantime takes effect when the work is done: another process may begin to
        work on the same files when this one has ended.
        """
        if self._work is None:
            return
        try:
            wait([self._work])
        except KeyboardInterrupt:
            wait([self._work])
            raise
        work, self._work = self._work, None
        work.result()


def _do(work: Callable[[], None], done: "Future[None]") -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)


def copied(value: Any, earlier: Any = None) -> Any:
    """A copy of a state on the CPU; training may change the state itself.

    `earlier` is a copy that is no longer needed. Its tensors are written over where they have the
    same shape, so that repeated copies take the memory of one.
    """
    if isinstance(value, Tensor):
        fits = isinstance(earlier, Tensor) and _form(earlier) == _form(value)
        own = earlier if fits else torch.empty_like(value, device="cpu", requires_grad=False)
        return own.copy_(value.detach())
    if isinstance(value, dict):
        known = earlier if isinstance(earlier, dict) else {}
        # Of the same class, with its attributes: state dicts carry the versions of their modules.
        result = copy.copy(value)
        result.update({key: copied(item, known.get(key)) for key, item in value.items()})
        return result
    if isinstance(value, (list, tuple)):
        known = earlier if isinstance(earlier, (list, tuple)) else ()
        pairs = zip(value, chain(known, repeat(None)), strict=False)
        return type(value)([copied(item, old) for item, old in pairs])
    return value


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.stride()
