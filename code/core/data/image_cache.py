"""`data.cache`: images decoded once, kept on the disk for all experiments or in memory for one."""

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from core.data.image_source import ImageArray, ImageFiles, ImageMap, ImageSource
from core.data.images import read_image
from core.data.settings import DataSettings
from core.files.locks import acquire
from core.files.threads import map_in_threads
from core.files.writing import make_readable

log = logging.getLogger(__name__)

_FORMAT = 1
_IMAGES, _MANIFEST = "images.u8", "manifest.json"
# A build writes all the time, and holds a lock on its file. One without a lock that has not written
# for so long was killed. Where there are no locks the time is longer: the disk may be slow.
_ABANDONED_SECONDS, _ABANDONED_SECONDS_WITHOUT_LOCKS = 60, 3600
_GIB = 2**30
_MEMINFO = Path("/proc/meminfo")
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def open_images(paths: Sequence[Path], data: DataSettings) -> ImageSource:
    """The images of `paths`, from where `data.cache` says.

    Where nothing can be kept, they are decoded each time they are read, and one line says so.

    Raises:
        InputError: an image that cannot be read.
    """
    channels = () if data.channels == 1 else (data.channels,)
    shape = (len(paths), *data.image_format.size, *channels)
    try:
        if data.cache == "memory":
            return ImageArray(_in_memory(paths, shape, data))
        if data.cache == "disk":
            return ImageMap(_on_disk(paths, shape, data), shape)
    except (OSError, MemoryError) as error:
        log.warning("data.cache=%s: %s; images are decoded in every epoch", data.cache, error)
    return ImageFiles(paths, data.image_format)


def content_key(paths: Sequence[Path], *facts: object) -> str:
    """16 hexadecimal digits over the place, size and times of every file, and `facts`.

    Files without compression that were unpacked from an archive may have the same names, sizes and
    modification times in two data sets. So their place counts, and the time of their last change,
    which no program can set. The version of the decoder counts: another one may round pixels
    differently.
    """
    digest = hashlib.sha256(repr((cv2.__version__, *facts)).encode())
    places = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    for path in paths:
        state = path.stat()
        times = f"{state.st_mtime_ns}\0{state.st_ctime_ns}"
        digest.update(os.fsencode(places[path.parent] / path.name))
        digest.update(f"\0{state.st_size}\0{times}\n".encode())
    return digest.hexdigest()[:16]


def available_memory_bytes() -> int | None:
    """Available memory by the system, or by the limit of a container; None if unknown."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = map(str.split, _MEMINFO.read_text().splitlines())
        found += [int(line[1]) * 1024 for line in lines if line[:1] == ["MemAvailable:"]]
    # Control groups, version 2; `max` is no limit. The file cache can be taken back.
    with suppress(OSError, ValueError):
        limit, used, state = (
            (_CONTROL_GROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        )
        cached = dict(line.split() for line in state.splitlines()).get("inactive_file", 0)
        found.append(int(limit) - int(used) + int(cached))
    return min(found, default=None)


def _in_memory(paths: Sequence[Path], shape: tuple[int, ...], data: DataSettings) -> np.ndarray:
    needed, available = int(np.prod(shape)), available_memory_bytes()
    if available is not None and needed > available:
        raise OSError(
            f"{len(paths)} decoded images take {needed / _GIB:.2f} GiB and "
            f"{available / _GIB:.2f} GiB of memory are available: use data.cache=disk or none"
        )
    images = np.empty(shape, np.uint8)
    for index, image in enumerate(_decoded(paths, data)):
        images[index] = image
    return images


def _on_disk(paths: Sequence[Path], shape: tuple[int, ...], data: DataSettings) -> Path:
    """The file of the decoded images; it is written if there is none with this content.

    Raises:
        OSError: it cannot be written.
    """
    folder = data.cache_folder
    key = content_key(paths, _FORMAT, *data.image_format)
    height, width = data.image_format.size
    whole = folder / f"images_{len(paths)}_{height}x{width}x{data.channels}_{key}"
    size = int(np.prod(shape))
    _remove_abandoned(folder)
    if _is_whole(whole, size):
        return whole / _IMAGES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(folder, len(paths), size)
        temporary = Path(tempfile.mkdtemp(prefix=f".{whole.name}.", suffix=".part", dir=folder))
        try:
            with (temporary / _IMAGES).open("wb") as stream:
                acquire(stream)
                for image in _decoded(paths, data):
                    stream.write(image.data)
                stream.flush()
                os.fsync(stream.fileno())
                manifest = {"key": key, "shape": shape, "dtype": "uint8"}
                (temporary / _MANIFEST).write_text(json.dumps(manifest) + "\n")
                _publish(temporary, whole, size)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written to ({error.strerror or error}): name another folder with "
            "data.cache_dir=DIR, or use data.cache=none"
        ) from None
    _mention_others(folder, whole)
    return whole / _IMAGES


def _decoded(paths: Sequence[Path], data: DataSettings) -> Iterator[np.ndarray]:
    """Every image in order."""
    return map_in_threads(
        lambda path: read_image(path, *data.image_format), paths, bar="decoding strips"
    )


def _is_whole(folder: Path, size: int) -> bool:
    try:
        return (folder / _MANIFEST).is_file() and (folder / _IMAGES).stat().st_size == size
    except OSError:
        return False


def _publish(temporary: Path, whole: Path, size: int) -> None:
    """Rename a finished build, unless another process has finished the same build before."""
    make_readable(temporary)
    if whole.exists() and not _is_whole(whole, size):
        shutil.rmtree(whole)
    try:
        temporary.rename(whole)
    except OSError:
        # A folder that is not empty is never replaced.
        if not _is_whole(whole, size):
            raise


def _require_room(folder: Path, num_images: int, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            f"{num_images} decoded images take {size / _GIB:.2f} GiB and {free / _GIB:.2f} GiB are "
            "free"
        )


def _remove_abandoned(folder: Path) -> None:
    """Remove builds that were killed: nothing ever reads them, and each holds gigabytes."""
    for build in folder.glob(".images_*.part"):
        with suppress(OSError):  # its process may finish it at this moment
            newest = max(entry.stat().st_mtime for entry in (build, *build.iterdir()))
            if time.time() - newest > _patience_seconds(build / _IMAGES):
                shutil.rmtree(build, ignore_errors=True)


def _patience_seconds(images: Path) -> float:
    """How long a build may write nothing before it counts as abandoned."""
    if not images.exists():
        return _ABANDONED_SECONDS
    with images.open("r+b") as stream:
        locked = acquire(stream)
    if locked is None:
        return _ABANDONED_SECONDS_WITHOUT_LOCKS
    return _ABANDONED_SECONDS if locked else math.inf


def _mention_others(folder: Path, own: Path) -> None:
    others = [entry for entry in folder.glob("images_*") if entry != own]
    if others:
        log.info(
            "%s also holds decoded images of other data or older files, which may be removed: %s",
            folder,
            ", ".join(entry.name for entry in others),
        )
