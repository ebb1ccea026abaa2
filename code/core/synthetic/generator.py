"""Write generated strips as a data set: train_images/*.jpg, train.csv, manifest.json."""

import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from core.errors import InputError
from core.files.run_length import encode
from core.files.tables import write_table
from core.files.writing import write_json
from core.synthetic.shares import ClassShares, assign_labels
from core.synthetic.strip import draw_strip

# Part of a stored set's name: raise it with any change of what is drawn.
GENERATOR_VERSION = 1
MANIFEST_NAME = "manifest.json"
Progress = Callable[[int, int], None]
Row = tuple[str, int, str]
# As the real strips: three equal channels, quality 90.
_JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 90]
_STRIPS_PER_TASK = 8


@dataclass(frozen=True)
class StripSettings:
    """Everything that the strips depend on."""

    num_images: int
    image_size: tuple[int, int] = (256, 1600)
    class_shares: ClassShares = "natural"
    seed: int = 42

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise InputError(f"data.num_images={self.num_images}: expected at least 1")
        if self.seed < 0:
            raise InputError(f"data.generation_seed={self.seed}: expected 0 or more")
        size = tuple(int(extent) for extent in self.image_size)
        if len(size) != 2 or size[0] < 32 or size[1] < 2 * size[0]:
            raise InputError(
                f"data.image_size={list(size)}: expected [height, width] with a height of at "
                "least 32 and a width of at least twice the height"
            )
        object.__setattr__(self, "image_size", size)
        if not isinstance(self.class_shares, str):
            object.__setattr__(self, "class_shares", tuple(float(s) for s in self.class_shares))

    def manifest(self) -> dict:
        """The settings and the generator's version, as they are written beside the strips."""
        return {"generator_version": GENERATOR_VERSION, **asdict(self)}


@dataclass(frozen=True)
class _Task:
    """One strip to draw: its number, its file name, its labels."""

    index: int
    name: str
    labels: tuple[int, ...]


def generate_strips(
    root: Path,
    *,
    num_images: int,
    image_size: tuple[int, int] = (256, 1600),
    class_shares: ClassShares = "natural",
    seed: int = 42,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Generate a data set of strips under `root`, the same for any number of workers.

    `progress` is called with (strips done, strips in all).

    Raises:
        InputError: a setting out of its range, or `root` already holds images.
    """
    settings = StripSettings(num_images, image_size, class_shares, seed)
    root = Path(root)
    images = root / "train_images"
    if images.exists():
        raise InputError(f"{images}: exists already; generate into a new folder")
    labels = assign_labels(num_images, settings.class_shares, np.random.default_rng(seed))
    images.mkdir(parents=True)
    names = _file_names(num_images, seed)
    named = zip(names, labels.tolist(), strict=True)
    tasks = [_Task(index, name, tuple(row)) for index, (name, row) in enumerate(named)]
    rows: list[Row] = []
    done = 0
    for written, new_rows in _written(tasks, partial(_write, settings, images), num_workers):
        done += written
        rows += new_rows
        if progress:
            progress(done, num_images)
    write_table(root / "train.csv", ("ImageId", "ClassId", "EncodedPixels"), sorted(rows))
    write_json(root / MANIFEST_NAME, {**settings.manifest(), **_counts(labels)})
    return root


def _counts(labels: np.ndarray) -> dict:
    return {
        "images_per_class": dict(enumerate(labels.sum(axis=0).tolist(), start=1)),
        "clean_images": int((labels.sum(axis=1) == 0).sum()),
    }


def _file_names(num_images: int, seed: int) -> list[str]:
    """Names like the real ones: nine hexadecimal digits."""
    names: dict[str, None] = {}
    counter = 0
    while len(names) < num_images:
        digest = hashlib.sha256(f"strip {seed} {counter}".encode()).hexdigest()
        names[f"{digest[:9]}.jpg"] = None
        counter += 1
    return list(names)


def _written(
    tasks: list[_Task], write: Callable[[list[_Task]], list[Row]], num_workers: int
) -> Iterator[tuple[int, list[Row]]]:
    """Number of strips and rows of train.csv, chunk by chunk, in the order of the tasks."""
    chunks = [tasks[i : i + _STRIPS_PER_TASK] for i in range(0, len(tasks), _STRIPS_PER_TASK)]
    if num_workers <= 1 or len(chunks) == 1:
        for chunk in chunks:
            yield len(chunk), write(chunk)
        return
    # Spawned, not forked: the parent may hold threads of torch and OpenCV.
    pool = ProcessPoolExecutor(
        min(num_workers, len(chunks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        for chunk, rows in zip(chunks, pool.map(write, chunks), strict=True):
            yield len(chunk), rows
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # The parent answers Ctrl-C and ends its workers; one thread each, as there is one per core.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _write(settings: StripSettings, images: Path, tasks: list[_Task]) -> list[Row]:
    """Draw and write some strips; their rows of train.csv."""
    rows = []
    for task in tasks:
        rng = np.random.default_rng(np.random.SeedSequence((settings.seed, task.index)))
        image, masks = draw_strip(rng, settings.image_size, np.array(task.labels))
        grey = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        _, encoded = cv2.imencode(".jpg", grey, _JPEG_OPTIONS)
        (images / task.name).write_bytes(encoded.tobytes())
        rows += [(task.name, c, encode(mask)) for c, mask in sorted(masks.items())]
    return rows
