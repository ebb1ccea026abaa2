"""What came of predicting: counts per class, and why images could not be read."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from core.predicting.signature import Signature
from core.predicting.stream import Row

# Kinds of reasons that are told apart, so that any number of bad images takes the same memory.
_MOST_REASONS = 100


class Outcome:
    """Counts of the rows that pass `counted`."""

    def __init__(self, signature: Signature) -> None:
        self.class_names, self.thresholds = signature.class_names, np.array(signature.thresholds)
        self.num_images = self.num_errors = self.num_clean = 0
        self.num_found = np.zeros(len(self.class_names), int)
        # By its text without numbers: how often, and as it was first given.
        self.reasons: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows."""
        for row in rows:
            self.num_images += 1
            if row.probabilities is None:
                self.num_errors += 1
                self._note(row.error.removeprefix(row.image).lstrip(": "))
            else:
                found = row.probabilities >= self.thresholds
                self.num_found += found
                self.num_clean += not found.any()
            yield row

    def summary(self) -> str:
        """Two lines, or three where an image could not be read."""
        found = zip(self.class_names, self.num_found.tolist(), strict=True)
        counts = ", ".join(f"{name} {count}" for name, count in found)
        lines = [f"{_images(self.num_images)}, {self.num_errors} unreadable"]
        if self.num_errors:
            (kind, count), *others = self.reasons.most_common()
            more = f"; other reasons: {sum(n for _, n in others)}, see the rows" if others else ""
            lines.append(f"not read, {_images(count)}: {self.examples[kind]}{more}")
        if self.num_errors < self.num_images:
            lines.append(f"found: {counts}; nothing on {_images(self.num_clean)}")
        return "\n".join(lines)

    def _note(self, reason: str) -> None:
        kind = re.sub(r"\d+", "#", reason)
        if kind in self.examples or len(self.examples) < _MOST_REASONS:
            self.examples.setdefault(kind, reason)
            self.reasons[kind] += 1


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
