"""Iterative stratification of multi-hot labels into subsets, evened out by a few exchanges.

Subsets are the parts of a split, or folds. They consist of units: images, or groups of
near-duplicates that must stay together.
"""

from itertools import permutations

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification

# The table of all exchanges is square in the number of distinct sets of counts.
_MOST_SETS = 1024
_LEAST_GAIN = 1e-9
# Groups of unequal sizes can leave the exchanges far from the shares: one of six splits of 1,344
# photographs was off by 6 images of a class, the others by less than one.
_MOST_TRIES = 10


def stratify(
    labels: np.ndarray,
    ratios: np.ndarray,
    generator: np.random.Generator,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Subset number of each image, with every class, clean images and the sizes spread by share.

    Clean images count as one more class. Iterative stratification leaves the classes near
    their shares, but the sizes of the subsets off by 0.1 % and sometimes a class without
    an image in a small subset. Moves and exchanges of single units then lower the sum of squared
    deviations until none lowers it further. Iterative stratification counts a group as one image;
    the moves and exchanges count all of its images. Where a class is then off by more than one
    image, the best of ten such tries is taken.

    Shape: labels (N, C), ratios (P,) that sum to 1, groups (N,) of group numbers; returns (N,).
    Source: Sechidis, Tsoumakas & Vlahavas 2011, On the Stratification of Multi-Label Data.
    """
    labels = np.asarray(labels, bool)
    columns = np.column_stack([labels, ~labels.any(axis=1)]).astype(np.int64)
    members = np.arange(len(columns))
    if groups is not None:
        members = np.unique(groups, return_inverse=True)[1].reshape(-1)
    counts = np.zeros((members.max() + 1, columns.shape[1] + 1), np.int64)
    np.add.at(counts, members, np.column_stack([columns, np.ones(len(columns), np.int64)]))
    best, least = members, np.inf
    for _ in range(_MOST_TRIES):
        subsets = _even_out(counts, _iterative(counts, ratios, generator), ratios, generator)
        deviation = np.abs(_excess(counts, subsets, ratios)[:, :-2]).max(initial=0)
        if deviation < least:
            best, least = subsets, deviation
        if least <= 1:
            break
    return best[members]


def _iterative(
    counts: np.ndarray, ratios: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Subset number of each unit by iterative stratification of the columns that it shows."""
    shown = counts[:, :-1] > 0
    # The library knows RandomState only; it never touches numpy's global one.
    state = np.random.RandomState(np.random.MT19937(int(generator.integers(2**63))))
    # It takes units in their order, the first ones for the largest subset: shuffle them before.
    order = generator.permutation(len(shown))
    subsets = np.empty(len(shown), np.int64)
    subsets[order] = IterativeStratification(shown[order], np.array(ratios, float), state)
    return subsets


def target_counts(totals: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Wanted images per subset and column: the shares, but at least one where there are enough.

    The last column is the size, which grows by what the others get beyond their share.

    Shape: totals (K,), ratios (P,); returns (P, K).
    """
    targets = np.outer(ratios, totals).astype(float)
    shift = np.where(totals[:-1] >= len(ratios), np.maximum(1 - targets[:, :-1], 0), 0)
    largest = int(np.argmax(ratios))
    shift[largest] = 0
    shift[largest] = -shift.sum(axis=0)
    targets[:, :-1] += shift
    targets[:, -1] += shift.sum(axis=1)
    return targets


def _even_out(
    columns: np.ndarray, subsets: np.ndarray, ratios: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    sets, members = np.unique(columns, axis=0, return_inverse=True)
    members = members.reshape(-1)
    subsets = subsets.copy()
    excess = _excess(columns, subsets, ratios)
    present = np.zeros((len(ratios), len(sets)), np.int64)
    np.add.at(present, (subsets, members), 1)
    # Each exchange lowers a sum of squares, so this ends; the bound is for rounding only.
    for _ in range(len(columns)):
        gain, moves = _best_exchange(sets, excess, present)
        if gain <= _LEAST_GAIN:
            break
        chosen = [
            generator.choice(np.flatnonzero((members == count_set) & (subsets == source)))
            for count_set, source, _ in moves
        ]
        for unit, (count_set, source, target) in zip(chosen, moves, strict=True):
            subsets[unit] = target
            for subset, sign in ((source, -1), (target, 1)):
                excess[subset] += sign * sets[count_set]
                present[subset, count_set] += sign
    return subsets


def _excess(columns: np.ndarray, subsets: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """By how much each subset has more of each column than it should."""
    excess = -target_counts(columns.sum(axis=0), ratios)
    np.add.at(excess, subsets, columns)
    return excess


def _best_exchange(
    sets: np.ndarray, excess: np.ndarray, present: np.ndarray
) -> tuple[float, list[tuple[int, int, int]]]:
    """What lowers the sum of squared deviations most: the decrease, and one or two moves.

    A move takes a unit with a set of counts from one subset to another; two are an exchange.
    Moving a vector w from subset p to q changes the sum by 2 w (excess_q - excess_p) + 2 |w|^2,
    where w are the counts of a unit, or the difference of two that are exchanged.
    """
    best, moves = 0.0, []
    products = sets @ sets.T if len(sets) <= _MOST_SETS else None
    squares = (sets * sets).sum(axis=1)
    for source, target in permutations(range(len(excess)), 2):
        slope = sets @ (excess[target] - excess[source])
        gains = np.where(present[source] > 0, -2 * slope - 2 * squares, -np.inf)
        given = int(gains.argmax())
        if gains[given] > best:
            best, moves = float(gains[given]), [(given, source, target)]
        if products is None or source > target:
            continue
        norms = squares[:, None] + squares[None, :] - 2 * products
        gains = -2 * (slope[:, None] - slope[None, :]) - 2 * norms
        possible = (present[source] > 0)[:, None] & (present[target] > 0)[None, :]
        gains = np.where(possible, gains, -np.inf)
        given, taken = map(int, np.unravel_index(int(gains.argmax()), gains.shape))
        if gains[given, taken] > best:
            best = float(gains[given, taken])
            moves = [(given, source, target), (taken, target, source)]
    return best, moves
