"""Which strip gets which defects: exact counts by class shares, co-occurring as on real strips."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np

from core.errors import InputError

NUM_CLASSES = 4
ClassShares = str | Sequence[float]

# Images per class and per combination of classes among the 12,568 strips of the real set.
_REAL_TOTAL = 12568
_REAL_COUNTS = (897, 247, 5150, 801)
_REAL_COMBINATIONS = {(3, 4): 284, (1, 3): 91, (1, 2): 35, (2, 3): 14, (1, 2, 3): 2, (2, 4): 1}
_FLAT_SHARE = 0.26
_FLAT_CLEAN = 0.2


def assign_labels(
    num_images: int, class_shares: ClassShares, rng: np.random.Generator
) -> np.ndarray:
    """Labels of every strip, in random order; each class has its share of strips, rounded.

    A class with a share above zero has at least 3 strips where there are 18 strips or more, so
    that it can be split into training, validation and test. Raises InputError for shares outside
    [0, 1], or that need more than two defects on a strip.

    Shape: (num_images, 4) uint8.
    """
    least = min(3, num_images // 6)
    shares = _shares(class_shares)
    counts = [max(round(share * num_images), least) if share > 0 else 0 for share in shares]
    several = _combinations(num_images, class_shares, counts)
    given = Counter(chain.from_iterable(several))
    single = [(c,) for c, count in enumerate(counts, start=1) for _ in range(count - given[c])]
    labels = np.zeros((num_images, NUM_CLASSES), np.uint8)
    for row, class_ids in enumerate([*several, *single]):
        labels[row, np.array(class_ids) - 1] = 1
    return rng.permutation(labels)


def _shares(class_shares: ClassShares) -> list[float]:
    if isinstance(class_shares, str):
        natural = [count / _REAL_TOTAL for count in _REAL_COUNTS]
        named = {"natural": natural, "flat": [_FLAT_SHARE] * NUM_CLASSES}
        shares = named.get(class_shares, [])
    else:
        shares = [float(share) for share in class_shares]
    if len(shares) != NUM_CLASSES or not all(0 <= share <= 1 for share in shares):
        raise InputError(
            f"data.class_shares={class_shares!r}: expected natural, flat, or {NUM_CLASSES} "
            "fractions between 0 and 1, one per defect class"
        )
    return shares


def _combinations(
    num_images: int, class_shares: ClassShares, counts: list[int]
) -> list[tuple[int, ...]]:
    """The strips with several defects, one tuple of class ids each."""
    if isinstance(class_shares, str) and class_shares == "natural":
        weights: dict[tuple[int, ...], float] = dict(_REAL_COMBINATIONS)
        wanted = round(sum(weights.values()) / _REAL_TOTAL * num_images)
    else:
        weights = {
            (a, b): float(counts[a - 1] * counts[b - 1])
            for a, b in combinations(range(1, NUM_CLASSES + 1), 2)
        }
        share = sum(_REAL_COMBINATIONS.values()) / sum(_REAL_COUNTS)
        room = round((1 - _FLAT_CLEAN) * num_images)
        wanted = max(round(share * sum(counts)), sum(counts) - room)
    chosen = _apportion(weights, wanted, counts)
    if _num_shown(counts, chosen) > num_images:
        # Classes were used up that another one needed beside it.
        wanted = min(wanted, _most_pairs(counts))
        chosen = _apportion(weights, wanted, counts, looks_ahead=True)
    if _num_shown(counts, chosen) > num_images:
        raise InputError(
            f"data.class_shares={class_shares!r}: too many defects for {num_images} strips with at "
            "most two of them each; lower the shares or raise data.num_images"
        )
    return chosen


def _num_shown(counts: list[int], chosen: list[tuple[int, ...]]) -> int:
    """How many strips show a defect."""
    return sum(counts) - sum(len(combination) - 1 for combination in chosen)


def _most_pairs(counts: Sequence[int]) -> int:
    """How many strips can show two classes."""
    return min(sum(counts) // 2, sum(counts) - max(counts))


def _apportion(
    weights: dict[tuple[int, ...], float],
    wanted: int,
    counts: list[int],
    looks_ahead: bool = False,
) -> list[tuple[int, ...]]:
    """`wanted` combinations in proportion to their weights, as far as the counts allow.

    With `looks_ahead`, pairs that would leave too little for the pairs after them are passed over.
    """
    total = sum(weights.values())
    remaining, given, chosen = list(counts), dict.fromkeys(weights, 0), []
    for number in range(1, wanted + 1):
        possible = [
            combination
            for combination, weight in weights.items()
            if weight > 0 and all(remaining[class_id - 1] > 0 for class_id in combination)
        ]
        if looks_ahead:
            left = {
                pair: [count - (c in pair) for c, count in enumerate(remaining, start=1)]
                for pair in possible
            }
            possible = [pair for pair in possible if _most_pairs(left[pair]) >= wanted - number]
        if not possible:
            break
        behind = [weights[c] * number / total - given[c] for c in possible]
        best = possible[int(np.argmax(behind))]
        given[best] += 1
        chosen.append(best)
        for class_id in best:
            remaining[class_id - 1] -= 1
    return chosen
