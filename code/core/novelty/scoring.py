"""Score images with a fitted detector: a table, heat maps, and columns beside predictions."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.command.terminal import show, show_error
from core.data.image_folder import EXTENSIONS
from core.data.images import stored_size
from core.errors import InputError
from core.experiments.folder import make_unused_folder
from core.files.resizing import Resize
from core.files.tables import write_table
from core.files.writing import make_empty_folder
from core.novelty.detector_file import FittedDetector
from core.novelty.pictures import HotStrip, Hottest, write_pictures
from core.novelty.score import Box
from core.predicting.image_list import ImageList, check_no_models
from core.predicting.stream import Row, TakesImages, predict_images, read_strip

log = logging.getLogger(__name__)

HEADER = ("image", "score", "alarm", "x", "y", "width", "height", "detector", "error")
TABLE = "novelty.csv"
COLUMNS = ("novelty_score", "novelty_alarm")
MOST_PICTURES = 12


def score_to_folder(
    experiment: Path, images: Sequence[str], output: Path | None, batch_size: int
) -> int:
    """Write novelty.csv and pictures of the hottest strips. Returns how many were not read.

    Raises:
        InputError: no fitted detector, no images, or a folder that is not empty.
    """
    check_no_models(images, "score with one experiment at a time")
    listed = ImageList(images, EXTENSIONS, sys.stdin)
    detector = FittedDetector(experiment)
    if output is not None:
        make_empty_folder(output, "--output")
    folder = output or make_unused_folder(detector.experiment.path, "scores")
    table = Scores(detector)
    read = partial(read_strip, signature=detector)
    rows = tqdm(
        predict_images(detector, listed, read, batch_size),
        total=listed.total,
        unit="image",
        disable=None,
    )
    write_table(folder / TABLE, HEADER, table.cells(rows), float_format=".9g")
    pictures = ""
    if strips := table.hottest.strips():
        write_pictures(folder, strips)
        pictures = f", hottest strips: {folder / 'hottest.jpg'}"
    show(f"{table.summary()}\nScores: {folder / TABLE}{pictures}")
    if table.first_problem:
        show_error(f"{table.num_errors} images were not read: {table.first_problem}")
    return table.num_errors


class Scores:
    """The rows of novelty.csv, counted, and the hottest of them."""

    def __init__(self, detector: FittedDetector) -> None:
        self.detector, self.hottest = detector, Hottest(MOST_PICTURES)
        self.num_images = self.num_alarms = self.num_errors = 0
        self.first_problem = ""

    def cells(self, rows: Iterable[Row]) -> Iterator[list[Any]]:
        """The cells of each row."""
        version = self.detector.version
        for row in rows:
            self.num_images += 1
            if row.probabilities is None:
                self.num_errors += 1
                self.first_problem = self.first_problem or row.error
                yield [row.image, *[""] * 6, version, row.error]
                continue
            score, heat = row.probabilities
            is_alarm, box = self.detector.is_alarm(score), self.detector.box(heat)
            self.num_alarms += is_alarm
            found = HotStrip(score, self.num_images, row.image, is_alarm, box, heat, row.pixels)
            self.hottest.add(found)
            yield [row.image, score, int(is_alarm), *self._in_file(row, box), version, ""]

    def _in_file(self, row: Row, box: Box) -> Box:
        """The box in pixels of the image's file, which was resized to be scored."""
        resize = self.detector.image_format.image_size
        if not isinstance(resize, Resize):
            return box
        stored = stored_size(Path(row.image), resize)
        return box if stored is None else resize.stored_box(box, stored)

    def summary(self) -> str:
        """How many were scored, and how many raise the alarm."""
        scored = self.num_images - self.num_errors
        return f"{scored} images scored, {self.num_alarms} alarms, {self.num_errors} unreadable"


class NoveltyColumns:
    """The columns that `predict.py --novelty` adds to its rows."""

    names = COLUMNS

    def __init__(self, experiment: Path) -> None:
        self.detector = FittedDetector(experiment)

    def added(self, rows: Iterable[Row], signature: TakesImages) -> Iterator[Row]:
        """The same rows, each with score and alarm; empty where the detector cannot read an image.

        Where it reads images in another way than the model does, they are read again.
        """
        same = signature.image_format == self.detector.image_format
        for row in rows:
            if row.probabilities is None:
                yield row
                continue
            try:
                pixels = row.pixels if same else read_strip(Path(row.image), self.detector)
            except InputError as error:
                yield replace(row, error=f"no novelty score: {error}")
                continue
            ((score, _),) = self.detector(pixels[None])
            yield replace(row, added=(score, int(self.detector.is_alarm(score))))
