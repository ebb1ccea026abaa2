"""The pictures of a detector's report: distributions of scores, ROC curves, the hottest strips."""

import base64
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.analysis.charts import GREY, Axes, Mark, Series, line_chart, look
from core.analysis.page import paragraph, picture, side_by_side
from core.analysis.report_figures import UNIT
from core.analysis.text_tables import interval_text
from core.errors import InputError
from core.experiments.reading import Experiment
from core.files.tables import read_records

_BINS = 30
_CURVE_POINTS = 200
# The few largest scores would leave all others in one bin.
_LARGEST_SHOWN = 0.99
_ANY = "any defect"

Scores = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""Scores, those of the baseline, and which strips are clean or have each defect: (strips,) all."""


def read_scores(experiment: Experiment) -> Scores | None:
    """The strips of the test; None where scores.csv is not there or does not fit."""
    names = [str(name) for name in experiment.look_up("data", "class_names") or []]
    file = experiment.path / "scores.csv"
    if not file.is_file():
        return None
    try:
        rows = [row for _, row in read_records(file, ("part", "score", "high_pass", *names))]
        rows = [row for row in rows if row["part"] == "test"]
        own, baseline = (np.array([float(r[k]) for r in rows]) for k in ("score", "high_pass"))
        labels = {name: np.array([row[name] == "1" for row in rows]) for name in names}
    except (InputError, ValueError):
        return None
    if not (len(rows) and np.isfinite(own).all() and np.isfinite(baseline).all()):
        return None
    novel = np.any([*labels.values(), np.zeros(len(rows), bool)], axis=0)
    return own, baseline, {"clean": ~novel, _ANY: novel, **labels}


def distributions(experiment: Experiment, scores: Scores) -> str:
    """A histogram of the clean strips and of each defect; the bar is the threshold."""
    values, _, members = scores
    threshold = float(experiment.look_up("threshold", "threshold"))
    low, high = float(values.min()), float(np.quantile(values, _LARGEST_SHOWN))
    edges = np.linspace(low, max(high, threshold, low + 1e-6), _BINS + 1)
    series = []
    for name, own in members.items():
        if name == _ANY or not own.any():
            continue
        counts, _ = np.histogram(values[own].clip(max=edges[-1]), edges)
        shares = counts / own.sum()
        points = [(edges[0], 0.0)]
        for number, share in enumerate(shares):
            points += [(edges[number], float(share)), (edges[number + 1], float(share))]
        series.append(Series(f"{name}, {own.sum()} strips", points, **look(len(series))))
    marks = [Mark("threshold", threshold, style="bar")]
    chart = line_chart("Scores", series, Axes("score", "share of the strips"), marks)
    return side_by_side([chart]) + paragraph("The last bin also has all larger scores.", "soft")


def roc_curves(experiment: Experiment, scores: Scores) -> str:
    """Recall against the rate of false alarms, of the detector and of the baseline."""
    own, baseline, members = scores
    clean, test = members["clean"], experiment.look_up("test") or {}
    figures = {_ANY: test.get("any_defect"), **(test.get("per_class") or {})}
    charts = []
    for name, figure in figures.items():
        if not figure or name not in members or not (members[name].any() and clean.any()):
            continue
        series = [
            Series(_labelled("detector", figure), _curve(own, members[name], clean)),
            Series("high_pass", _curve(baseline, members[name], clean), GREY, "dashed"),
        ]
        axes = Axes("false alarms, share", "recall", UNIT, UNIT)
        charts.append(line_chart(name, series, axes))
    return side_by_side(charts) if charts else paragraph("No strips with known defects.")


def _labelled(title: str, figure: Mapping[str, Any]) -> str:
    return f"{title}, AUROC {figure['auroc']:.3f} {interval_text(figure.get('auroc_interval'))}"


def _curve(scores: np.ndarray, novel: np.ndarray, clean: np.ndarray) -> list[tuple[float, float]]:
    """Points from (0, 0) to (1, 1), one for each distinct score, thinned out."""
    levels = np.unique(scores[novel | clean])[::-1]
    places = np.unique(np.linspace(0, len(levels) - 1, _CURVE_POINTS).astype(int))
    points = [
        (float((scores[clean] >= level).mean()), float((scores[novel] >= level).mean()))
        for level in levels[places]
    ]
    return [(0.0, 0.0), *points]


def hottest(experiment: Experiment) -> str:
    """The strips of the test with the highest scores, their maps below."""
    html = []
    for file in sorted((experiment.path / "hottest").glob("*.jpg")):
        if re.match(r"\d\d_", file.name):
            content = base64.b64encode(file.read_bytes()).decode("ascii")
            html.append(picture(f"data:image/jpeg;base64,{content}", file.stem))
    return "".join(html) or paragraph("There are no pictures.")
