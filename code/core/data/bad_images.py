"""Images that cannot be used, found before the split."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.data.images import read_grey
from core.errors import InputError
from core.files.threads import map_in_threads


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
    reasons = map_in_threads(check, paths, bar="decoding strips")
    return {index: reason for index, reason in enumerate(reasons) if reason}


def _reason(path: Path, image_size: tuple[int, int]) -> str | None:
    try:
        read_grey(path, image_size)
    except InputError as error:
        return str(error)
    return None
