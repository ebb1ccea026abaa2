"""What the sweep over detectors of novelty learns from and is tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.errors import InputError
from core.novelty.choosing import split_by_groups
from core.novelty.settings import NoveltyData
from core.running.loading import read_data
from core.synthetic.strip import draw_strip

TILE_SIZE = (224, 224)
_KNOWN = ("defect_1", "defect_2", "defect_3", "defect_4")
NEVER_LABELLED = ("rings", "stamped")
_SEED = 7000


@dataclass(frozen=True)
class Pool:
    """Images of one kind, of which each seed learns from others.

    `masks` are those of the whole image, uint8 (height, width); None where they are not known.
    Shape: images uint8 (images, 1, height, width), labels (images, classes), groups (images,)
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    groups: np.ndarray
    masks: Sequence[np.ndarray | None] = ()

    def parts(self, seed: int) -> list[np.ndarray]:
        """Rows to learn from, to set the threshold and to test: clean ones by halves, quarters.

        A group of near-duplicates is in one part. All groups with a defect are tested.
        """
        clean = ~self.labels.any(axis=1)
        with_defect = np.isin(self.groups, self.groups[~clean])
        rows = np.flatnonzero(~with_defect)
        shares = 0.25 * clean.sum() / len(rows)
        fit, threshold, test = split_by_groups(self.groups[rows], (shares, shares), seed)
        tested = np.sort(np.concatenate([rows[test], np.flatnonzero(with_defect)]))
        return [rows[fit], rows[threshold], tested]


def read_tiles(root: Path) -> Pool:
    """The images of a labelled data set, all in the size 224x224."""
    data = NoveltyData(root=root, resize=TILE_SIZE, cache="memory")
    loaded = read_data(data)
    table, groups = loaded.table, loaded.groups
    if groups is None:
        raise InputError(f"--data-root {root}: near-duplicates could not be grouped")
    rows = range(len(table))
    masks = [None if table.masks is None else table.masks[row] for row in rows]
    return Pool(
        np.stack([loaded.images.read(row) for row in rows])[:, None],
        table.labels > 0,
        table.class_names,
        groups,
        [None if each is None else each.max(axis=0) for each in masks],
    )


def draw_pool(num_clean: int, num_of_kind: int, size: tuple[int, int]) -> Pool:
    """Procedural strips with sharp roll marks: clean ones, and so many with each single kind.

    Rings and stamped marks are never drawn by the generator itself.
    """
    names = (*_KNOWN, *NEVER_LABELLED)
    kinds = [None] * num_clean + [kind for kind in names for _ in range(num_of_kind)]
    labels = np.array([[name == kind for name in names] for kind in kinds])
    images = [_drawn(number, kind, size) for number, kind in enumerate(kinds)]
    return Pool(np.stack(images)[:, None], labels, names, np.arange(len(kinds)))


def _drawn(number: int, kind: str | None, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(np.random.SeedSequence((_SEED, number)))
    image, _ = draw_strip(rng, size, np.array([name == kind for name in _KNOWN], int))
    steel = np.flatnonzero(image.mean(axis=0) > 30)
    left, right = (steel[0], steel[-1]) if len(steel) > size[0] else (0, size[1] - 1)
    factor = _roll_marks(rng, size)
    if kind in NEVER_LABELLED:
        at = (int(rng.uniform(left + 15, right - 15)), int(rng.uniform(0.3, 0.7) * size[0]))
        factor *= {"rings": _rings, "stamped": _stamped}[kind](rng, size, at)
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def _roll_marks(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A dark bar with sharp edges that a roll prints at each turn."""
    height, width = size
    factor = np.ones(size, np.float32)
    row, phase = int(rng.uniform(0.1, 0.8) * height), int(rng.integers(height))
    for x in range(phase, width, int(0.9 * height)):
        end = (x + height // 16, row + height // 8)
        cv2.line(factor, (x, row), end, 0.6, thickness=max(1, height // 32))
    return factor


def _rings(rng: np.random.Generator, size: tuple[int, int], at: tuple[int, int]) -> np.ndarray:
    factor = np.ones(size, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        centre = (at[0] + int(rng.normal(0, size[0] / 4)), at[1] + int(rng.normal(0, size[0] / 10)))
        radius = int(size[0] * rng.uniform(0.06, 0.16))
        cv2.circle(factor, centre, radius, float(rng.uniform(0.5, 0.8)), 1, cv2.LINE_AA)
    return factor


def _stamped(rng: np.random.Generator, size: tuple[int, int], at: tuple[int, int]) -> np.ndarray:
    drawn = np.zeros(size, np.uint8)
    text = "".join(rng.choice(list("ABEHKMRX0358"), 3))
    darkness = float(rng.uniform(0.5, 0.8))
    scale = size[0] / 128
    cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    return 1 - (1 - darkness) * drawn.astype(np.float32) / 255
