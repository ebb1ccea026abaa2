"""The sections of a report that are numbers and curves."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from core.analysis.charts import COLOURS, Axes, Mark, Series, line_chart
from core.analysis.page import cards, paragraph, side_by_side, table
from core.analysis.ranking import figure, interval
from core.analysis.text_tables import METRIC_TITLES, class_title, interval_text, number
from core.experiments.predictions import Predictions
from core.experiments.reading import Experiment, flatten
from core.metrics.calibration import calibration_figures
from core.metrics.scored_predictions import DEFAULT_THRESHOLD, METRICS

CURVE_POINTS = 200
FEW_IMAGES = 5
UNIT = (0.0, 1.02)
GREY = "#9aa4ae"
HEADLINES = {
    "macro-F1 at 0.5": ("macro", "f1"),
    "macro average precision": ("macro", "average_precision"),
    "macro AUROC": ("macro", "auroc"),
    "F1, any defect": ("any_defect", "f1"),
    "whole label set right": ("subset_accuracy",),
}


def summary(experiment: Experiment) -> str:
    """What was trained on what, and the headline figures."""
    look_up = experiment.look_up
    entries = [
        (title, number(figure(experiment, key)), interval_text(interval(experiment, key)))
        for title, key in HEADLINES.items()
    ]
    parts = look_up("data", "split", "parts") or {}
    sizes = ", ".join(f"{part} {entry.get('num_images')}" for part, entry in parts.items())
    trained = (
        f"{look_up('config', 'model', 'name')} with {look_up('config', 'loss', 'type')}, seed "
        f"{look_up('experiment', 'seed')}. The best of {len(look_up('history') or [])} epochs is "
        f"epoch {look_up('best_epoch')}. {look_up('data', 'num_images')} images ({sizes}), split "
        f"by {look_up('data', 'split', 'strategy')}."
    )
    confidence = look_up("test", "intervals", "confidence") or 0.95
    tested = (
        f"Figures on the {look_up('test', 'num_images')} test images, with the best checkpoint. In "
        f"brackets: {100 * confidence:g} % bootstrap intervals over images."
    )
    return paragraph(trained) + cards(entries) + paragraph(tested, "soft")


def class_table(experiment: Experiment) -> str:
    """Figures with intervals per class at 0.5, and precision, recall, F1 at chosen thresholds."""
    look_up = experiment.look_up
    at_chosen = METRICS[:3]
    header = ["", "images", *(METRIC_TITLES[metric] for metric in METRICS)]
    header += ["threshold", *(METRIC_TITLES[metric] for metric in at_chosen)]
    rows: list[list[Any]] = []
    names = [(class_title(name), ("per_class", name)) for name in experiment.class_names]

    def cell(part: str, *keys: str) -> tuple[str, str]:
        bounds = look_up(part, "intervals", *keys)
        return number(look_up(part, *keys)), interval_text(bounds)

    for title, key in (*names, ("macro", ("macro",)), ("any defect", ("any_defect",))):
        support = look_up("test", *key, "support")
        threshold = number(look_up("thresholds", key[-1])) if key[0] == "per_class" else ""
        row: list[Any] = [title, "" if support is None else support]
        row += [cell("test", *key, metric) for metric in METRICS]
        chosen = (cell("test_at_thresholds", *key, metric) for metric in at_chosen)
        rows.append([*row, threshold, *chosen])
    notes = paragraph(
        "Thresholds were chosen on the validation part by the criterion "
        f"{look_up('threshold_criterion')}. AP and AUROC do not depend on them.",
        "soft",
    )
    left_out = (look_up("test", "undefined") or {}).items()
    if undefined := ", ".join(f"{METRIC_TITLES[metric]} of {n}" for metric, n in left_out if n):
        notes += paragraph(f"Undefined, and left out of the macro mean: {undefined} class(es).")
    groups = (("", 2), ("at 0.5", len(METRICS)), ("at the chosen thresholds", 1 + len(at_chosen)))
    return table(header, rows, groups=groups) + notes


def training_curves(experiment: Experiment) -> str:
    """Loss and validation figures by epoch; the dotted line is the best epoch."""
    history = [flatten(record) for record in experiment.look_up("history") or []]
    if not history:
        return paragraph("No epoch was recorded.")
    best = [Mark("best epoch", experiment.look_up("best_epoch") or 0, style="bar")]

    def chart(title: str, y_label: str, keys: Mapping[str, str], **ranges: Any) -> str:
        series = []
        for (label, key), colour in zip(keys.items(), itertools.cycle(COLOURS)):
            points = [(float(record["epoch"]), record.get(key)) for record in history]
            series.append(Series(label, points, colour))
        return line_chart(title, series, Axes("epoch", y_label, x_step=1, **ranges), best)

    losses = {"training": "train.loss", "validation": "validation.loss"}
    macro = {
        METRIC_TITLES[metric]: f"validation.macro_{metric}"
        for metric in ("f1", "average_precision", "auroc")
    }
    classes = {name: f"validation.per_class_f1.{name}" for name in experiment.class_names}
    weights = {key.partition(".")[2]: key for key in history[-1] if key.startswith("loss_weights.")}
    charts = [
        chart("Loss", "loss", losses),
        chart("Validation, macro", "figure", macro, y_range=UNIT),
        chart("Validation F1 per class", "F1", classes, y_range=UNIT),
    ]
    if weights:
        charts.append(chart("Learned loss weights", "weight", weights))
    return side_by_side(charts)


def precision_recall(experiment: Experiment, test: Predictions) -> str:
    """A precision-recall curve per class, with the points at 0.5 and at the chosen threshold."""
    charts = []
    for c, name in enumerate(experiment.class_names):
        labels, scores = test.labels[:, c], test.probabilities[:, c]
        if not labels.any():
            charts.append(line_chart(f"{name}: no test image", [], Axes("", "")))
            continue
        precision, recall, _ = precision_recall_curve(labels, scores)
        thin = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).astype(int))
        curve = list(zip(recall[thin].tolist(), precision[thin].tolist(), strict=True))
        share = float(labels.mean())
        marks = [_operating_point("at 0.5", labels, scores, DEFAULT_THRESHOLD, "ring")]
        if (chosen := experiment.look_up("thresholds", name)) is not None:
            marks.append(_operating_point(f"at {chosen:.2f}, chosen", labels, scores, chosen))
        series = [
            Series("curve", curve, COLOURS[c % len(COLOURS)]),
            Series("chance", [(0.0, share), (1.0, share)], GREY, "dashed"),
        ]
        average = number(figure(experiment, ("per_class", name, "average_precision")))
        axes = Axes("recall", "precision", UNIT, UNIT)
        charts.append(line_chart(f"{name}: AP {average}", series, axes, marks))
    return side_by_side(charts)


def reliability(experiment: Experiment, test: Predictions) -> str:
    """Share of positives by predicted probability, per class, before and after scaling."""
    names = experiment.class_names
    before = calibration_figures(test.labels, test.probabilities, names)["per_class"]
    after = experiment.look_up("calibration", "after", "per_class") or {}
    method = experiment.look_up("calibration", "method")
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
            series.append(Series(f"after {method}", _curve(after[name]), "#444444", dots=True))
        axes = Axes("predicted probability", "share of positives", UNIT, UNIT)
        charts.append(line_chart(name, series, axes))
    note = f"Bins of fewer than {FEW_IMAGES} images are not drawn; the table includes them."
    return side_by_side(charts) + paragraph(note, "soft") + table(header, rows)


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
