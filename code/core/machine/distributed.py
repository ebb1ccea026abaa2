"""Communication between the processes that train one model.

With a single process, nothing here communicates. Only the first process (rank 0) writes to an
experiment's folder. What it reads or measures is sent to the others, so that all of them decide
alike. All processes must call these functions in the same order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import InputError

T = TypeVar("T")

_CPU = torch.device("cpu")


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if size() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def any_of(mine: bool) -> bool:
    """Whether the value is true in any process."""
    return highest(int(mine)) > 0


def highest(mine: int) -> int:
    """The highest number over all processes."""
    if size() == 1:
        return mine
    number = torch.tensor(mine)
    dist.all_reduce(number, dist.ReduceOp.MAX)
    return int(number)


def wait_for_all() -> None:
    """Return once all processes have called this."""
    highest(0)


def gathered(mine: T) -> list[T]:
    """The objects of all processes in their order."""
    if size() == 1:
        return [mine]
    everyone: list[Any] = [None] * size()
    dist.all_gather_object(everyone, mine)
    return everyone


def gathered_rows(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes, concatenated; `sizes` holds their counts, which are similar."""
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:number] for part, number in zip(parts, sizes, strict=True)])


class GatheredRows(torch.autograd.Function):
    """`gathered_rows` with a gradient for this process's rows.

    DistributedDataParallel averages the gradients, which are to be summed: hence the factor.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        ctx.sizes = sizes
        return gathered_rows(rows, sizes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        first = sum(ctx.sizes[: rank()])
        return gradient[first : first + ctx.sizes[rank()]] * len(ctx.sizes), None


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, or the InputError that it raises, in all processes."""
    if size() == 1:
        return make()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = make()
        except InputError as error:
            told[1] = str(error)
    dist.broadcast_object_list(told, src=0, device=_CPU)
    if told[1] is not None:
        raise InputError(told[1])
    return told[0]


@contextmanager
def first_before_others() -> Iterator[None]:
    """Run the body in the first process before the others, which then find its downloads and caches
    on disk. An InputError of the first is raised in all processes.
    """
    if size() == 1:
        yield
        return
    problem = None
    if is_first():
        try:
            yield
        except InputError as error:
            problem = str(error)
    if problem := from_first(lambda: problem):
        raise InputError(problem)
    if not is_first():
        yield


def together(batches: Iterable[T]) -> Iterator[T]:
    """Yield batches while every process has a next one; an error in one is raised in all."""
    if size() == 1:
        yield from batches
        return
    iterator = iter(batches)
    while True:
        batch, problem = None, None
        try:
            batch = next(iterator, None)
        except Exception as error:
            problem = error
        if any_of(problem is not None):
            told = None if problem is None else (isinstance(problem, InputError), str(problem))
            # The first in the order of the processes, so that all raise the same.
            is_mistake, text = next(each for each in gathered(told) if each)
            raise InputError(text) if is_mistake else RuntimeError(text)
        if batch is None:
            return
        yield batch
