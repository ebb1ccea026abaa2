"""Groups of near-duplicates in which all strips agree, where pairs alone would form chains."""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from core.data.strip_hash import LARGEST_SHIFT, StripDescriptors, least_correlation

Pairs = list[tuple[int, int]]

# Photographs of one magnetic tile under six lights correlate by 0.9 on average, different tiles
# under one light by 0.6 to 0.82; copies of a steel strip by 0.8 to 1.
_LEAST_MEAN_CORRELATION = 0.8
# All pairs of a group of n strips are n (n - 1) / 2: where a fixed camera gives all strips one
# background, listing each takes hours. The groups of the competition have two or three.
LARGEST_LISTED_GROUP = 50
# Comparing all pairs of so many strips of 256x1600 takes some ten seconds.
_LARGEST_CONFIRMED_GROUP = 1000


def duplicate_groups(num_images: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Group number of each image: the same for images that pairs connect, else one of its own.

    Shape: (num_images,); numbers count up from 0 in the order of each group's first image.
    """
    ends = np.array(list(pairs), np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(num_images, num_images))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def without_chains(descriptors: StripDescriptors, pairs: Pairs) -> Pairs:
    """The pairs of groups whose strips agree with each other, in order.

    Three or more strips that pairs connect are clustered by average linkage: two clusters become
    one if their strips correlate by 0.8 on average. So a pair that is alike by chance joins no two
    groups. All pairs of a cluster of up to 50 strips are listed, else those that connect it. More
    than 1,000 connected strips are not compared: they stay one group.

    Source: Sokal and Michener 1958 (average linkage).
    """
    groups = duplicate_groups(len(descriptors), pairs)
    sizes = np.bincount(groups, minlength=1)
    is_examined = (sizes > 2) & (sizes <= _LARGEST_CONFIRMED_GROUP)
    kept = [pair for pair in pairs if not is_examined[groups[pair[0]]]]
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.cumsum(sizes)[:-1]):
        if is_examined[groups[members[0]]]:
            kept += _confirmed(descriptors, members)
    return sorted(kept)


def _confirmed(descriptors: StripDescriptors, members: np.ndarray) -> Iterator[tuple[int, int]]:
    correlations = relief_correlations(descriptors, members)
    distances = squareform(1 - correlations, checks=False)
    clusters = fcluster(
        linkage(distances, "average"), 1 - _LEAST_MEAN_CORRELATION, criterion="distance"
    )
    for number in range(1, clusters.max() + 1):
        inside = np.flatnonzero(clusters == number)
        own = correlations[np.ix_(inside, inside)]
        if len(inside) > LARGEST_LISTED_GROUP:
            likest = [(int(own[k, :k].argmax()), k) for k in range(1, len(inside))]
        else:
            likest = np.argwhere(np.triu(own > 0, 1)).tolist()
        yield from ((int(members[inside[one]]), int(members[inside[k]])) for one, k in likest)


def relief_correlations(descriptors: StripDescriptors, members: np.ndarray) -> np.ndarray:
    """How well each two strips agree, the best of four ways to lie and of small shifts.

    Too little for a pair, by `least_correlation`, counts as 0. Shape: (members, members).
    """
    reliefs = descriptors.reliefs[members].astype(np.float32)
    shifts = range(2 * LARGEST_SHIFT + 1)
    rows, columns = (side - 2 * LARGEST_SHIFT for side in reliefs.shape[1:])
    inner = _standardised(reliefs, LARGEST_SHIFT, LARGEST_SHIFT, rows, columns)
    best = np.zeros((len(members), len(members)), np.float32)
    for turned in (reliefs[:, ::down, ::across] for down in (1, -1) for across in (1, -1)):
        for top, left in ((top, left) for top in shifts for left in shifts):
            window = _standardised(turned, top, left, rows, columns)
            np.maximum(best, inner @ window.T, out=best)
    best = np.maximum(best, best.T)
    steel = descriptors.steel[members]
    best[best < least_correlation(np.minimum(steel[:, None], steel))] = 0
    np.fill_diagonal(best, 1)
    return best.clip(0, 1)


def _standardised(reliefs: np.ndarray, top: int, left: int, rows: int, columns: int) -> np.ndarray:
    """A window of each relief with mean 0 and length 1, as a row."""
    windows = reliefs[:, top : top + rows, left : left + columns].reshape(len(reliefs), -1)
    windows = windows - windows.mean(axis=1, keepdims=True)
    return windows / np.maximum(np.linalg.norm(windows, axis=1, keepdims=True), 1e-6)
