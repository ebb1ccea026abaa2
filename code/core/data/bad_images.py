"""Images that cannot be used, found before the split."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from core.data.images import read_grey
from core.errors import InputError


@dataclass(frozen=True)
class SkippedImage:
    """An image that was left out, and why."""

    image_id: str
    reason: str


def find_bad_images(paths: Sequence[Path], image_size: tuple[int, int]) -> dict[int, str]:
    """Positions of images that cannot be decoded or have another size, each with the reason.

    Every image is decoded, in one thread per core. A bar is shown on a terminal only.
    """
    check = partial(_reason, image_size=tuple(image_size))
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        reasons = tqdm(
            pool.map(check, paths),
            total=len(paths),
            desc="decoding strips",
            unit="strip",
            disable=None,
        )
        return {index: reason for index, reason in enumerate(reasons) if reason}
    finally:
        # After Ctrl-C the thousands of strips still to come are not read.
        pool.shutdown(cancel_futures=True)


def _reason(path: Path, image_size: tuple[int, int]) -> str | None:
    try:
        read_grey(path, image_size)
    except InputError as error:
        return str(error)
    return None
