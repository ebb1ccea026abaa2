"""A function over many items in parallel: ordered results, a progress bar, a prompt shutdown."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

# Results that wait for a slow consumer must not fill the memory.
_AHEAD = 64


def map_in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_threads: int | None = None,
    ahead: int = _AHEAD,
    bar: str = "",
) -> Iterator[Result]:
    """`map_ahead` in threads, one per core unless said otherwise.

    Threads suit work that releases the interpreter's lock, such as decoding images.
    """
    pool = ThreadPoolExecutor(num_threads or os.cpu_count() or 1)
    return map_ahead(pool, function, items, ahead=ahead, bar=bar)


def map_ahead(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int = _AHEAD,
    bar: str = "",
) -> Iterator[Result]:
    """Results in the order of the items, at most `ahead` of them computed before they are taken.

    `bar` describes a progress bar of strips, shown on a terminal only; "" shows none. The pool is
    shut down at the end, and after an error or Ctrl-C, which cancels what has not begun.
    """
    waiting: deque[Future[Result]] = deque()
    total = len(items) if isinstance(items, Sized) else None
    try:
        # None: off where the stream is no terminal.
        with tqdm(total=total, desc=bar, unit="strip", disable=None if bar else True) as progress:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
                    progress.update()
            while waiting:
                yield waiting.popleft().result()
                progress.update()
    finally:
        pool.shutdown(cancel_futures=True)
