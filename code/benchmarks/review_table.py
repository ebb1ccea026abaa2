"""The tables of a review: planted errors found, and what retraining was worth."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.review_reviewer import Truth
from core.analysis.text_tables import aligned, number
from core.experiments.predictions import PREDICTIONS_FILE, read_rows
from core.files.tables import read_records
from core.metrics.classification import classification_metrics
from core.metrics.intervals import Bootstrap
from core.metrics.scored_predictions import DEFAULT_THRESHOLD
from core.review.gain_table import change_text
from core.review.overlay import read_corrections
from core.review.paired_gains import Gain, Seed, paired_gains

SHARES = (0.025, 0.05, 0.1)
FIGURES = {"average_precision": "macro AP", "f1": "macro F1 at 0.5"}
_RESAMPLES = 2000
_NOTES = (
    "In first N %: strips with a planted error among so many at the top of label_errors.csv.",
    "Errors met, mended, spoilt: labels on the reviewed strips; a spoilt one was right before.",
    "AP: macro AP of the cross-validation, scored by the given and by the true labels.",
)


class Found(NamedTuple):
    """The cross-validation and the decided labels of one kind of error."""

    kind: str
    folds: Path
    corrections: Path
    truth: Truth


class Trained(NamedTuple):
    """A training by the kind of error, the labels that it had and its seed, and its new test."""

    kind: str
    labels: str
    seed: int
    evaluation: Path


def found_rows(reviews: Iterable[Found]) -> list[dict[str, Any]]:
    """How many planted errors are among the first strips, and what became of the reviewed ones."""
    return [_found_row(one) for one in reviews]


def _found_row(one: Found) -> dict[str, Any]:
    columns = ("image_id", "class_name")
    ranked = [tuple(row[c] for c in columns) for _, row in
              read_records(one.folds / "label_errors.csv", columns)]  # fmt: skip
    wrong = {image_id for image_id, _ in one.truth.flips}
    first = {
        str(share): sum(image_id in wrong for image_id, _ in ranked[: round(share * len(ranked))])
        for share in SHARES
    }
    decisions = read_corrections(one.corrections).labels
    place = {name: at for at, name in enumerate(one.truth.class_names)}
    met = one.truth.flips & decisions.keys()
    mended = sum(decisions[key] == one.truth.labels[key[0]][place[key[1]]] for key in met)
    spoilt = sum(
        label != one.truth.labels[image_id][place[name]]
        for (image_id, name), label in decisions.items()
        if (image_id, name) not in one.truth.flips
    )
    given, true = _macro_ap(one)
    return {
        "part": "found",
        "kind": one.kind,
        "planted": len(one.truth.flips),
        "strips": len(ranked),
        "first": first,
        "reviewed": len({image_id for image_id, _ in decisions}),
        "met": len(met),
        "mended": mended,
        "spoilt": spoilt,
        "ap_by_given": given,
        "ap_by_true": true,
    }


def _macro_ap(one: Found) -> tuple[float, float]:
    """The macro AP of the out-of-fold predictions, by the given labels and by the true ones."""
    names = one.truth.class_names
    rows = read_rows(one.folds / PREDICTIONS_FILE, names, "test")
    values = np.array([row for _, row in rows])
    true = np.array([one.truth.labels[image_id] for image_id, _ in rows])
    return tuple(
        classification_metrics(labels, values[:, len(names) :], names)["macro"]["average_precision"]
        for labels in (values[:, : len(names)], true)
    )


def worth_rows(trainings: Iterable[Trained]) -> list[dict[str, Any]]:
    """The figures with each kind of labels, and reviewed minus given, on the same strips.

    The interval is of the mean over other strips and other seeds.
    """
    runs = {one[:3]: one.evaluation for one in trainings}
    by_labels: dict[tuple[str, str], dict[int, Path]] = {}
    for (kind, labels, seed), path in runs.items():
        by_labels.setdefault((kind, labels), {})[seed] = path
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in by_labels if kind):
        sets = {"given": by_labels.get((kind, "given"), {}),
                "reviewed": by_labels.get((kind, "reviewed"), {}),
                "true": by_labels.get(("", "true"), {})}  # fmt: skip
        seeds = sorted(set(sets["given"]) & set(sets["reviewed"]))
        if seeds:
            rows += _worth(kind, sets, seeds)
    return rows


def _worth(
    kind: str, sets: Mapping[str, Mapping[int, Path]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    names, labels, given = _predicted([sets["given"][seed] for seed in seeds])
    *_, reviewed = _predicted([sets["reviewed"][seed] for seed in seeds])
    rows, at = np.arange(len(labels)), DEFAULT_THRESHOLD
    pairs = [Seed(rows, (before, at), (after, at))
             for before, after in zip(given, reviewed, strict=True)]  # fmt: skip
    keys = [("macro", figure) for figure in FIGURES]
    gains = paired_gains(labels, names, pairs, keys, Bootstrap(resamples=_RESAMPLES))
    true = _mean_figures([sets["true"][seed] for seed in seeds if seed in sets["true"]])
    return [
        {
            "part": "worth", "kind": kind, "figure": title, "seeds": len(seeds),
            "given": gain.before, "reviewed": gain.after, "true": true.get(figure),
            "by_seed": list(gain.by_seed), "difference": gain.difference,
            "interval": list(gain.interval), "shown": gain.is_shown,
        }
        for (figure, title), gain in zip(FIGURES.items(), gains.values(), strict=True)
    ]  # fmt: skip


def _mean_figures(paths: Sequence[Path]) -> dict[str, float]:
    """The mean of each figure over these evaluations; empty without any."""
    if not paths:
        return {}
    names, labels, probabilities = _predicted(paths)
    found = [classification_metrics(labels, each, names)["macro"] for each in probabilities]
    return {figure: statistics.mean(one[figure] for one in found) for figure in FIGURES}


def _predicted(paths: Sequence[Path]) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
    """Class names, labels, and the probabilities of each evaluation, of the same strips."""
    with (paths[0] / PREDICTIONS_FILE).open() as stream:
        header = stream.readline().strip().split(",")
    names = [column.removeprefix("label_") for column in header if column.startswith("label_")]
    read = [sorted(read_rows(path / PREDICTIONS_FILE, names, "test")) for path in paths]
    values = [np.array([row for _, row in rows]) for rows in read]
    return names, values[0][:, : len(names)], [each[:, len(names) :] for each in values]


def tables(found: Sequence[Mapping[str, Any]], worth: Sequence[Mapping[str, Any]]) -> str:
    """Both tables as text."""
    if not found:
        return "no review is finished yet"
    header = ["errors", "planted", *(f"in first {100 * share:g} %" for share in SHARES)]
    lines = [[*header, "reviewed", "errors met", "mended", "spoilt", "AP by given", "by true"]]
    for row in found:
        first = [
            f"{hits} of {round(float(share) * row['strips'])}"
            for share, hits in row["first"].items()
        ]
        counts = (row[key] for key in ("reviewed", "met", "mended", "spoilt"))
        measured = (number(row[key]) for key in ("ap_by_given", "ap_by_true"))
        lines.append([row["kind"], str(row["planted"]), *first, *map(str, counts), *measured])
    text = [*aligned(lines), "", *_NOTES]
    if worth:
        text += ["", *_worth_lines(worth)]
    return "\n".join(text)


def _worth_lines(worth: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [["errors", "figure", "seeds", "given", "reviewed", "true labels", "reviewed - given",
              "verdict"]]  # fmt: skip
    for row in worth:
        values = [number(row[labels]) for labels in ("given", "reviewed", "true")]
        gain = Gain(row["given"], row["reviewed"], tuple(row["by_seed"]), tuple(row["interval"]))
        lines.append([row["kind"], row["figure"], str(row["seeds"]), *values, change_text(gain),
                      gain.verdict])  # fmt: skip
    note = "Tested on other strips, with right labels. Intervals of 95 % over strips and seeds."
    return [*aligned(lines, text_columns=2), "", note]
