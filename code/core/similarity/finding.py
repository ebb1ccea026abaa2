"""From an encoder, queries and images to the nearest of them: a table, a picture and scores."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.data.image_folder import EXTENSIONS
from core.data.trained_labels import ReadCorrections
from core.errors import InputError
from core.experiments.folder import make_unused_folder
from core.files.tables import write_table
from core.files.writing import make_empty_folder, write_json
from core.predicting.image_list import ImageList, check_no_models
from core.similarity.contact_sheet import SHEET_QUERIES, Tile, write_sheet
from core.similarity.copies import Pair, find_copies
from core.similarity.encoder import Encoder, open_encoder
from core.similarity.gallery import Block, Features, images_of_part
from core.similarity.known_labels import KnownLabels, LabelSet, labelled_images
from core.similarity.labelled_gallery import LabelledGallery
from core.similarity.neighbours import Nearest, Neighbour
from core.similarity.retrieval import as_text, set_name

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
HEADER = ("query", "rank", "image", "similarity", "copy", "query_labels", "image_labels")


@dataclass(frozen=True)
class SearchOptions:
    """Where to search, by default in the test part, how many to find, and the folder for it."""

    images: Sequence[str] = ()
    part: str = "test"
    top: int = 5
    batch_size: int = 16
    output: Path | None = None


@dataclass(frozen=True)
class Found:
    """The nearest images of each query, which of them are copies, and known label sets."""

    queries: list[str]
    neighbours: list[list[Neighbour]]
    labels: KnownLabels
    copies: dict[Pair, str] = field(default_factory=dict)

    def pairs(self) -> list[Pair]:
        """Each query with each of its neighbours."""
        both = zip(self.queries, self.neighbours, strict=True)
        return [(query, each.image) for query, own in both for each in own]


def find_similar(
    experiment: Path,
    queries: Sequence[str],
    options: SearchOptions,
    read_corrections: ReadCorrections,
) -> tuple[Path, int]:
    """Find what is similar to `queries`, by default to each image that is searched.

    Returns the folder that holds similar.csv, similar.jpg and similar.json, and how many images
    could not be read.

    Raises:
        InputError: no encoder, no images, a query that cannot be read, or no query and no labels.
    """
    for words in (queries, options.images):
        check_no_models(words, "search by one experiment at a time")
    if options.output is not None and options.output.exists():
        make_empty_folder(options.output, "--output")  # refused before any work is done
    encoder = open_encoder(experiment)
    size = encoder.image_format.image_size
    labels = KnownLabels(encoder.experiment, size, read_corrections)
    features = Features(encoder, options.batch_size)
    searched, total = _searched(encoder, options)
    blocks: Iterable[Block] = features.blocks(searched, total)
    if queries:
        listed = list(_listed(queries))
        of_queries = features.of_all(listed)
    else:
        blocks = list(blocks)
        features.check_some_were_read()
        listed = [image for names, _ in blocks for image in names]
        if not any(labels.of(image) is not None for image in listed):
            raise InputError("no query is named, and no label to score by is known: name a query")
        of_queries = np.concatenate([block for _, block in blocks])
    found, gallery = _find(listed, of_queries, blocks, labels, options.top)
    features.check_some_were_read()
    if not any(found.neighbours):
        raise InputError("nothing to find: every image that is searched is the query itself")
    if features.num_unreadable:
        shown = "\n".join(features.problems)
        log.warning("Left out, since they cannot be read: %d\n%s", features.num_unreadable, shown)
    found.copies.update(find_copies(found.pairs(), encoder.image_format))
    report = gallery.scored(listed, of_queries, found.copies) if gallery.images else None
    if report is not None:
        log.info("%s", as_text(report))
    return _write(encoder, found, report, options.output), features.num_unreadable


def _find(
    queries: list[str],
    of_queries: np.ndarray,
    blocks: Iterable[Block],
    labels: KnownLabels,
    top: int,
) -> tuple[Found, LabelledGallery]:
    """The nearest images, and, where labels of queries are known, what they are scored on."""
    nearest, gallery = Nearest(queries, of_queries, top), LabelledGallery(labels)
    is_scored = any(labels.of(query) is not None for query in queries)
    for names, block in blocks:
        nearest.add(names, block)
        if is_scored:
            gallery.add(names, block)
    neighbours = [nearest.of(row) for row in range(len(queries))]
    return Found(queries, neighbours, labels), gallery


def _listed(words: Iterable[str]) -> ImageList:
    return ImageList([labelled_images(word) for word in words], EXTENSIONS, sys.stdin)


def _searched(encoder: Encoder, options: SearchOptions) -> tuple[Iterable[str], int | None]:
    """The images that are searched, and how many they are if that is known."""
    if options.images:
        listed = _listed(options.images)
        return listed, listed.total
    images = images_of_part(encoder.experiment, options.part)
    return images, len(images)


def _write(
    encoder: Encoder, found: Found, report: dict[str, Any] | None, output: Path | None
) -> Path:
    """Write the table, the picture and the scores, and return their folder."""
    if output is None:
        folder = make_unused_folder(encoder.experiment.path, "similar")
    else:
        make_empty_folder(output, "--output")
        folder = output
    write_table(folder / "similar.csv", HEADER, _rows(found), float_format=".6g")
    shown = np.linspace(0, len(found.queries) - 1, min(SHEET_QUERIES, len(found.queries)))
    sheet = [_tiles(found, row) for row in shown.astype(int).tolist() if found.neighbours[row]]
    write_sheet(folder / "similar.jpg", sheet, encoder.image_format)
    about = {"schema_version": SCHEMA_VERSION, "experiment": encoder.experiment.name}
    write_json(folder / "similar.json", {**about, "scores": report})
    return folder


def _rows(found: Found) -> Iterator[list[Any]]:
    for query, own in zip(found.queries, found.neighbours, strict=True):
        for place, each in enumerate(own, start=1):
            sets = (_text(found.labels.of(image)) for image in (query, each.image))
            copy = found.copies.get((query, each.image), "")
            yield [query, place, each.image, each.similarity, copy, *sets]


def _text(label_set: LabelSet | None) -> str:
    return "" if label_set is None else set_name(label_set)


def _tiles(found: Found, row: int) -> tuple[Tile, list[Tile]]:
    """A query and its neighbours as the contact sheet shows them."""
    query, wanted = found.queries[row], found.labels.of(found.queries[row])
    tiles = []
    for each in found.neighbours[row]:
        shown, copy = found.labels.of(each.image), found.copies.get((query, each.image))
        same = None if wanted is None or shown is None else wanted == shown
        text = f"{each.similarity:.3f}{f' {copy}' if copy else ''}"
        tiles.append(Tile(each.image, text, shown, same))
    return Tile(query, "query", wanted), tiles
