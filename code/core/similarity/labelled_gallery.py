"""The labelled images among those that are searched, on which the search is scored."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from core.metrics.intervals import Bootstrap
from core.similarity.copies import Pair
from core.similarity.known_labels import KnownLabels
from core.similarity.neighbours import file_key
from core.similarity.retrieval import rank, scores, set_name


class LabelledGallery:
    """Features and label sets of those searched images whose labels are known."""

    def __init__(self, labels: KnownLabels) -> None:
        self.labels, self.images, self._features = labels, [], []

    def add(self, images: Sequence[str], features: np.ndarray) -> None:
        """Keep what is labelled of a block."""
        known = [self.labels.of(image) is not None for image in images]
        self.images += [image for image, kept in zip(images, known, strict=True) if kept]
        self._features.append(features[known])

    def scored(
        self, queries: Sequence[str], features: np.ndarray, copies: Iterable[Pair]
    ) -> dict[str, Any]:
        """How well the labelled queries find their label set; copies of a query are left out.

        Shape: features (queries, dimensions)
        """
        rows = [n for n, query in enumerate(queries) if self.labels.of(query) is not None]
        names = [set_name(self.labels.of(queries[row])) for row in rows]
        shown = [set_name(self.labels.of(image)) for image in self.images]
        number = {name: n for n, name in enumerate(dict.fromkeys([*names, *shown]))}
        left_out = self._left_out([queries[row] for row in rows], copies)
        ranking = rank(
            (features[rows], np.concatenate(self._features)),
            (np.array([number[name] for name in names]), np.array([number[n] for n in shown])),
            left_out,
        )
        return {"num_searched": len(self.images), **scores(ranking, names, Bootstrap())}

    def _left_out(self, queries: Sequence[str], copies: Iterable[Pair]) -> dict[int, list[int]]:
        """The columns of each query's own file and of its copies, by the row of the query."""
        place = {image: column for column, image in enumerate(self.images)}
        of_file: dict[tuple[int, int], list[int]] = {}
        for column, image in enumerate(self.images):
            of_file.setdefault(file_key(image), []).append(column)
        of_copies: dict[str, list[int]] = {}
        for query, image in copies:
            if image in place:
                of_copies.setdefault(query, []).append(place[image])
        return {
            row: [*of_file.get(file_key(query), ()), *of_copies.get(query, ())]
            for row, query in enumerate(queries)
        }
