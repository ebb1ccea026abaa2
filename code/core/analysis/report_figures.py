"""The sections of a report that are curves: of the training, of the thresholds, of calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from core.analysis.charts import COLOURS, GREY, INK, Axes, Mark, Series, line_chart, look
from core.analysis.decisions import Decisions
from core.analysis.page import paragraph, side_by_side, table
from core.analysis.ranking import figure
from core.analysis.text_tables import METRIC_TITLES, number
from core.experiments.reading import Experiment, flatten
from core.metrics.calibration import calibration_figures
from core.metrics.scored_predictions import DEFAULT_THRESHOLD

CURVE_POINTS = 200
FEW_IMAGES = 5
UNIT = (0.0, 1.02)
MOST_CHARTS = 24
UNDONE = (
    "The loss moves probabilities away from the posterior. This is undone, by "
    "evaluation.calibration=auto: the probabilities, figures and thresholds of this page are those "
    "after it."
)


def training_curves(experiment: Experiment) -> str:
    """Loss and validation figures by epoch; the dotted line is the best epoch."""
    history = [flatten(record) for record in experiment.look_up("history") or []]
    if not history:
        return paragraph("No epoch was recorded.")
    best = [Mark("best epoch", experiment.look_up("best_epoch") or 0, style="bar")]

    def chart(title: str, y_label: str, keys: Mapping[str, str], **ranges: Any) -> str:
        series = []
        for place, (label, key) in enumerate(keys.items()):
            points = [(float(record["epoch"]), record.get(key)) for record in history]
            series.append(Series(label, points, **look(place)))
        return line_chart(title, series, Axes("epoch", y_label, x_step=1, **ranges), best)

    losses = {"training": "train.loss", "validation": "validation.loss"}
    macro = {
        METRIC_TITLES[metric]: f"validation.macro_{metric}"
        for metric in ("f1", "average_precision", "auroc")
    }
    classes = {name: f"validation.per_class_f1.{name}" for name in experiment.class_names}
    weights = _learned_weights(experiment)
    charts = [
        chart("Loss", "loss", losses),
        chart("Validation, macro", "figure", macro, y_range=UNIT),
        chart("Validation F1 per class", "F1", classes, y_range=UNIT),
    ]
    if weights:
        charts.append(chart("Learned loss weights", "weight", weights))
    return side_by_side(charts)


def _learned_weights(experiment: Experiment) -> dict[str, str]:
    """Titles and keys of the weights of those compound losses that learn them."""
    recorded = (experiment.look_up("history") or [{}])[-1].get("loss_weights") or {}
    learned = {
        of_masks: experiment.look_up(section, "params", "learnable_weights")
        for section, of_masks in (("loss", False), ("mask_loss", True))
    }
    return {name: f"loss_weights.{name}" for name in recorded if learned[name.startswith("masks/")]}


def precision_recall(experiment: Experiment, test: Decisions) -> str:
    """A precision-recall curve per class, with the points at 0.5 and at the chosen threshold."""
    charts, absent = [], []
    for c, name in enumerate(experiment.class_names):
        labels, scores = test.labels[:, c], test.probabilities[:, c]
        if not labels.any():
            absent.append(name)
            continue
        precision, recall, _ = precision_recall_curve(labels, scores)
        thin = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).astype(int))
        curve = list(zip(recall[thin].tolist(), precision[thin].tolist(), strict=True))
        share = float(labels.mean())
        chosen = test.thresholds[name]
        marks = [
            _operating_point("at 0.5", labels, scores, DEFAULT_THRESHOLD, "ring"),
            _operating_point(f"at {chosen:.2f}, chosen", labels, scores, chosen),
        ]
        series = [
            Series("curve", curve, COLOURS[c % len(COLOURS)]),
            Series("chance", [(0.0, share), (1.0, share)], GREY, "dashed"),
        ]
        average = number(figure(experiment, ("per_class", name, "average_precision")))
        axes = Axes("recall", "precision", UNIT, UNIT)
        charts.append(line_chart(f"{name}: AP {average}", series, axes, marks))
    note = f"No test image shows {', '.join(absent)}."
    return _few(charts) + (paragraph(note) if absent else "")


def _few(charts: Sequence[str]) -> str:
    """A chart for each class; of very many the first."""
    shown = side_by_side(charts[:MOST_CHARTS])
    left_out = len(charts) - MOST_CHARTS
    return shown + (paragraph(f"{left_out} more classes are not drawn.") if left_out > 0 else "")


def reliability(experiment: Experiment, test: Decisions) -> str:
    """Share of positives by predicted probability, per class, before and after scaling."""
    names, method = experiment.class_names, experiment.look_up("calibration", "method")
    before = after = calibration_figures(test.labels, test.probabilities, names)["per_class"]
    if method == "auto":  # the probabilities at hand are those after it
        before = experiment.look_up("calibration", "before", "per_class") or {}
    else:
        after = experiment.look_up("calibration", "after", "per_class") or {}
    header = ["", "calibration error", "Brier score"]
    header += [f"calibration error, {method}", f"Brier score, {method}"] if after else []
    charts, rows = [], []
    for c, name in enumerate(names):
        series = [
            Series("ideal", [(0.0, 0.0), (1.0, 1.0)], GREY, "dashed"),
            Series("model", _curve(before[name]), COLOURS[c % len(COLOURS)], dots=True),
        ]
        rows.append([name])
        for figures in (before[name], *([after[name]] if name in after else [])):
            rows[-1] += [number(figures[k]) for k in ("expected_calibration_error", "brier_score")]
        if name in after:
            series.append(Series(f"after {method}", _curve(after[name]), INK, dots=True))
        axes = Axes("predicted probability", "share of positives", UNIT, UNIT)
        charts.append(line_chart(name, series, axes))
    note = f"Bins of fewer than {FEW_IMAGES} images are not drawn; the table includes them."
    said = paragraph(UNDONE) if method == "auto" else ""
    return said + _few(charts) + paragraph(note, "soft") + table(header, rows)


def _operating_point(
    label: str, labels: np.ndarray, scores: np.ndarray, threshold: float, style: str = "dot"
) -> Mark:
    predicted = scores >= threshold
    hits = int((labels & predicted).sum())
    # Without a prediction there is no precision: the curve starts at 1 there.
    precision = hits / predicted.sum() if predicted.any() else 1.0
    return Mark(label, hits / labels.sum(), float(precision), style)


def _curve(figures: Mapping[str, Any]) -> list[tuple[float, float | None]]:
    return [
        (point["mean_probability"], point["share_of_positives"])
        for point in figures["reliability"]
        if point["num_images"] >= FEW_IMAGES
    ]
