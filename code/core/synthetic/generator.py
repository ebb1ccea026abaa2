"""Write generated strips as a data set: train_images/*.jpg, train.csv, manifest.json."""

import hashlib
import multiprocessing
import signal
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.errors import InputError
from core.files.run_length import encode
from core.files.tables import write_table
from core.files.threads import map_ahead
from core.files.writing import write_json
from core.synthetic.shares import ClassShares, assign_labels
from core.synthetic.strip import draw_strip

# Part of a stored set's name: raise it with any change of what is drawn.
GENERATOR_VERSION = 1
MANIFEST_NAME = "manifest.json"
# As the real strips: three equal channels, quality 90.
_JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 90]
_HEADER = ("ImageId", "ClassId", "EncodedPixels")


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
        size = tuple(map(int, self.image_size))
        if len(size) != 2 or size[0] < 32 or size[1] < 2 * size[0]:
            raise InputError(
                f"data.image_size={list(size)}: expected [height, width] with a height of at "
                "least 32 and a width of at least twice the height"
            )
        object.__setattr__(self, "image_size", size)
        if not isinstance(self.class_shares, str):
            object.__setattr__(self, "class_shares", tuple(map(float, self.class_shares)))

    def manifest(self) -> dict[str, Any]:
        """The settings and the generator's version, as they are written beside the strips."""
        return {"generator_version": GENERATOR_VERSION, **asdict(self)}


def generate_strips(root: Path, settings: StripSettings, num_workers: int = 1) -> Path:
    """Generate a data set of strips under `root`, the same for any number of workers.

    Raises InputError for class shares that cannot be met, or where `root` already holds images.
    """
    images = Path(root) / "train_images"
    if images.exists():
        raise InputError(f"{images}: exists already; generate into a new folder")
    num_images, seed = settings.num_images, settings.seed
    labels = assign_labels(num_images, settings.class_shares, np.random.default_rng(seed))
    images.mkdir(parents=True)
    names = _file_names(num_images, seed)
    strips = list(zip(range(len(names)), names, labels, strict=True))
    rows = map_ahead(
        _pool(num_workers), partial(_write, settings, images), strips, bar="generating strips"
    )
    write_table(root / "train.csv", _HEADER, sorted(row for of_strip in rows for row in of_strip))
    counts = {
        "images_per_class": dict(enumerate(labels.sum(axis=0).tolist(), start=1)),
        "clean_images": int((labels.sum(axis=1) == 0).sum()),
    }
    write_json(root / MANIFEST_NAME, settings.manifest() | counts)
    return root


def _file_names(num_images: int, seed: int) -> list[str]:
    """Names like the real ones: nine hexadecimal digits."""
    names: dict[str, None] = {}
    counter = 0
    while len(names) < num_images:
        digest = hashlib.sha256(f"strip {seed} {counter}".encode()).hexdigest()
        names[f"{digest[:9]}.jpg"] = None
        counter += 1
    return list(names)


def _pool(num_workers: int) -> Executor:
    if num_workers <= 1:
        return ThreadPoolExecutor(1)
    # Spawned, not forked: the parent may hold threads of torch and OpenCV.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    # The parent answers Ctrl-C and ends its workers; one thread each, as there is one per core.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _write(
    settings: StripSettings, images: Path, strip: tuple[int, str, np.ndarray]
) -> list[tuple[str, int, str]]:
    """Draw and write a strip, given its number, name and labels; return its rows of train.csv."""
    index, name, labels = strip
    rng = np.random.default_rng(np.random.SeedSequence((settings.seed, index)))
    image, masks = draw_strip(rng, settings.image_size, labels)
    grey = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    _, encoded = cv2.imencode(".jpg", grey, _JPEG_OPTIONS)
    (images / name).write_bytes(encoded.tobytes())
    return [(name, class_id, encode(mask)) for class_id, mask in sorted(masks.items())]
