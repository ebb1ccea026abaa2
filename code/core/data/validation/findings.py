"""What was found in a data set: errors that training refuses, and warnings that it does not."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.data.mistakes import (
    EmptyMaskError,
    ImageSizeError,
    MissingLabelError,
    RepeatedLabelError,
    TruncatedImageError,
    UnknownImageError,
)
from core.errors import InputError
from core.files.run_length import MaskOutsideError

Level = Literal["error", "warning"]

_KINDS: dict[type[InputError], str] = {
    TruncatedImageError: "truncated image",
    ImageSizeError: "image of another size",
    UnknownImageError: "label of a missing image",
    MissingLabelError: "image that no label names",
    RepeatedLabelError: "label twice",
    EmptyMaskError: "label without pixels",
    MaskOutsideError: "mask outside the strip",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks it."""

    level: Level
    kind: str
    message: str


class Findings:
    """Findings in the order in which they were made."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def add(self, level: Level, kind: str, message: str) -> None:
        """Note something that no reader refuses."""
        self.all.append(Finding(level, kind, message))

    def add_mistakes(
        self, mistakes: Iterable[InputError], kind: str, level: Level = "error"
    ) -> None:
        """Note what a reader refused; `kind` is for a mistake without a name of its own."""
        for mistake in mistakes:
            self.add(level, _KINDS.get(type(mistake), kind), str(mistake))

    def count(self, level: Level) -> int:
        """How many of that level there are."""
        return sum(finding.level == level for finding in self.all)

    def kinds(self) -> dict[tuple[Level, str], int]:
        """Level and kind with their number, errors first, then by number."""
        counted = Counter((finding.level, finding.kind) for finding in self.all)
        order = sorted(counted.items(), key=lambda entry: (entry[0][0], -entry[1], entry[0][1]))
        return dict(order)

    def examples(self, level: Level, kind: str, most: int) -> list[str]:
        """The first messages of a kind."""
        chosen = [f.message for f in self.all if (f.level, f.kind) == (level, kind)]
        return chosen[:most]

    def as_json(self) -> list[dict[str, Any]]:
        """For the report."""
        return [asdict(finding) for finding in self.all]
