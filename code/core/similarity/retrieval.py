"""How well similar features mean equal labels: average precision of retrieval over label sets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.metrics.bounds import bootstrap_bounds, exact_bounds
from core.metrics.intervals import Bootstrap
from core.metrics.resampling import bootstrap_weights, jackknife_weights

NO_DEFECT = "no defect"
_ROWS_PER_BLOCK = 256


@dataclass(frozen=True)
class Ranking:
    """The average precision of each query, and what a random order is expected to have.

    NaN for a query without a positive. Shape: (queries,) each
    """

    average_precision: np.ndarray
    chance: np.ndarray


def set_name(label_set: Sequence[str]) -> str:
    """`pit + scratch`, or `no defect`."""
    return " + ".join(label_set) or NO_DEFECT


def rank(
    features: tuple[np.ndarray, np.ndarray],
    sets: tuple[np.ndarray, np.ndarray],
    left_out: Mapping[int, Sequence[int]],
) -> Ranking:
    """Rank the gallery for each query by similarity; positives have the same label set.

    `features` and `sets` are those of the queries and of the gallery; `left_out` has the gallery
    rows that are no answer to a query, by its row.
    Shape: features (images, dimensions) of length 1; sets (images,) of numbers
    """
    (of_queries, gallery), (wanted, shown) = features, sets
    precision, chance = np.full((2, len(wanted)), np.nan)
    for start in range(0, len(wanted), _ROWS_PER_BLOCK):
        block = of_queries[start : start + _ROWS_PER_BLOCK] @ gallery.T
        for row, similarity in enumerate(block, start=start):
            kept = np.ones(len(shown), bool)
            kept[list(left_out.get(row, ()))] = False
            positives = shown[kept] == wanted[row]
            if positives.any():
                precision[row] = average_precision(positives, similarity[kept])
                chance[row] = chance_level(int(positives.sum()), len(positives))
    return Ranking(precision, chance)


def average_precision(positives: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the positives of the share of positives among all that score at least as much."""
    order = np.argsort(-scores)
    descending, hit = -scores[order], positives[order]
    # Equal scores share the place of the last of them, so their order does not matter.
    places = np.searchsorted(descending, descending[hit], side="right")
    return float((np.cumsum(hit)[places - 1] / places).mean())


def chance_level(num_positives: int, num_images: int) -> float:
    """The expected average precision of a random order.

    H / N + (P - 1) (N - H) / (N (N - 1)) with H = 1 + 1/2 + ... + 1/N: the sum over places k of
    the expectation of hit times precision, P/N (1 + (k - 1) (P - 1) / (N - 1)) / k, over P.
    """
    if num_images == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, num_images + 1)).sum())
    rest = (num_positives - 1) * (num_images - harmonic) / (num_images * (num_images - 1))
    return harmonic / num_images + rest


def scores(ranking: Ranking, names: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Mean average precision over queries, over label sets, and of each label set.

    `names` are the label sets of the queries. Queries are resampled within each label set; the
    gallery is taken as given. Queries without a positive are counted and left out.
    """
    usable = np.isfinite(ranking.average_precision)
    if not usable.any():
        return {"num_queries": 0, "num_without_positive": len(names)}
    values, chance = ranking.average_precision[usable], ranking.chance[usable]
    known, codes = np.unique(np.array(names)[usable], return_inverse=True)
    member = np.eye(len(known))[codes]
    sizes = member.sum(axis=0)
    shares = np.column_stack([np.ones(len(values)), 1 / sizes[codes], member]).T
    over_queries, over_sets, *per_set = _means(values, chance, shares, member, bootstrap)
    sets = zip(known.tolist(), sizes.tolist(), per_set, strict=True)
    return {
        "num_queries": len(values),
        "num_without_positive": int((~usable).sum()),
        "over_queries": over_queries,
        "over_label_sets": over_sets,
        "per_label_set": {name: {"num_queries": int(n), **one} for name, n, one in sets},
        **bootstrap.record(member),
    }


def _means(
    values: np.ndarray,
    chance: np.ndarray,
    shares: np.ndarray,
    member: np.ndarray,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """Weighted means of the queries with their intervals, one for each row of `shares`.

    Shape: values and chance (queries,), shares (means, queries), member (queries, label sets)
    """
    units, generator = bootstrap.units(member), np.random.default_rng(bootstrap.seed)

    def weighted(chunks: Iterable[np.ndarray]) -> np.ndarray:
        found = [(shares * values) @ w / np.maximum(shares @ w, 1e-12) for w in chunks]
        return np.concatenate([np.empty((len(shares), 0)), *found], axis=1)

    drawn = weighted(bootstrap_weights(units, bootstrap.resamples, generator))
    without = weighted(jackknife_weights(units))
    found = []
    for row, own in enumerate(shares):
        value = float(values @ own / own.sum())
        interval = bootstrap_bounds(value, drawn[row], without[row], bootstrap.confidence)
        if interval is None:  # equal in each resample, as where all is found
            interval = exact_bounds(value, float((own > 0).sum()), bootstrap.confidence)
        by_chance = float(chance @ own / own.sum())
        figures = {"mean_average_precision": value, "interval": interval, "chance": by_chance}
        found.append(figures)
    return found


def as_text(report: Mapping[str, Any]) -> str:
    """The scores in lines for the terminal."""
    if not report["num_queries"]:
        return "No image that is searched has the label set of a query: nothing to score"
    lines = [
        f"Retrieval over label sets, {report['num_queries']} queries in "
        f"{report['num_searched']} labelled images:"
    ]
    entries = {
        "mean over queries": report["over_queries"],
        "mean over label sets": report["over_label_sets"],
        **{f"{name} ({one['num_queries']})": one for name, one in report["per_label_set"].items()},
    }
    width = max(map(len, entries))
    for name, one in entries.items():
        low, high = one["interval"]
        lines.append(
            f"  {name:<{width}}  mAP {one['mean_average_precision']:.3f} "
            f"[{low:.3f}, {high:.3f}], by chance {one['chance']:.3f}"
        )
    return "\n".join(lines)
