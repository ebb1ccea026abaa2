"""Queries and the images that are searched: their features, read and computed in blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.errors import InputError
from core.experiments.predictions import read_rows
from core.experiments.reading import Experiment
from core.experiments.strips import SPLIT_FILE, ImageFolder
from core.predicting.stream import predict_images, read_strip
from core.similarity.encoder import Encoder

# 768 features of so many images are 12 MiB.
IMAGES_PER_BLOCK = 4096
MOST_LISTED = 5

Block = tuple[list[str], np.ndarray]


@dataclass
class Features:
    """Features of images; `problems` has the first images that were left out, and why."""

    encoder: Encoder
    batch_size: int
    problems: list[str] = field(default_factory=list, init=False)
    num_unreadable: int = field(default=0, init=False)
    num_read: int = field(default=0, init=False)

    def blocks(self, images: Iterable[str], total: int | None) -> Iterator[Block]:
        """Names and features of images in their order, so many of them at once."""
        read = partial(read_strip, signature=self.encoder)
        rows = tqdm(
            predict_images(self.encoder, images, read, self.batch_size),
            total=total,
            unit="image",
            disable=None,
        )
        while group := list(islice(rows, IMAGES_PER_BLOCK)):
            for row in group:
                if row.error:
                    self._leave_out(row.error)
            known = [row for row in group if not row.error]
            self.num_read += len(known)
            if known:
                yield [row.image for row in known], np.stack([row.probabilities for row in known])

    def _leave_out(self, problem: str) -> None:
        self.num_unreadable += 1
        if len(self.problems) < MOST_LISTED:
            self.problems.append(problem)

    def check_some_were_read(self) -> None:
        """Raise InputError where no image that was searched could be read."""
        if self.num_read:
            return
        if not self.num_unreadable:
            raise InputError("nothing to search: no image is named")
        raise InputError(
            f"nothing to search: none of the {self.num_unreadable} images can be used, such as: "
            f"{self.problems[0]}"
        )

    def of_all(self, images: Sequence[str]) -> np.ndarray:
        """The features of these images. Raises InputError for one that cannot be read."""
        read = partial(read_strip, signature=self.encoder)
        found = []
        for row in predict_images(self.encoder, images, read, self.batch_size):
            if row.error:
                raise InputError(row.error)
            found.append(row.probabilities)
        if not found:
            raise InputError("no query is named: standard input lists no image")
        return np.stack(found)


def images_of_part(experiment: Experiment, part: str) -> list[str]:
    """The images of a part of the experiment's split.

    Raises InputError where it has none, or where one is not where the experiment read it.
    """
    root = experiment.look_up("data", "probe" if experiment.is_pretraining else "root")
    file = experiment.path / SPLIT_FILE
    if root is None or not file.is_file():
        raise InputError(
            f"--part {part}: {experiment.path} has no split of labelled strips: name what to "
            "search by --in FOLDER"
        )
    ids = sorted(image_id for image_id, _ in read_rows(file, (), part))
    folder = ImageFolder(Path(root))
    found = [folder.find(image_id) for image_id in ids]
    if not ids or None in found:
        missing = f"holds no {ids[found.index(None)]}" if ids else f"has no {part} part"
        raise InputError(
            f"--part {part}: {root if ids else file} {missing}: name what to search by --in FOLDER"
        )
    return [str(path) for path in found]
