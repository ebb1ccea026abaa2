"""The parts of a report that are numbers and curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from core.analysis.charts import COLOURS, Axes, Mark, Series, line_chart
from core.analysis.page import cards, paragraph, table
from core.analysis.ranking import figure, interval
from core.experiments.predictions import Predictions
from core.experiments.reading import Experiment
from core.metrics.calibration import calibration_figures
from core.metrics.scored_predictions import DEFAULT_THRESHOLD, METRICS

TITLES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "average_precision": "AP",
    "auroc": "AUROC",
}
CURVE_POINTS = 200
FEW_IMAGES = 5
UNIT = (0.0, 1.02)


def summary(experiment: Experiment) -> str:
    """What was trained on what, and the headline figures."""
    look_up = experiment.look_up
    headlines = (
        ("macro-F1 at 0.5", ("macro", "f1")),
        ("macro average precision", ("macro", "average_precision")),
        ("macro AUROC", ("macro", "auroc")),
        ("F1, any defect", ("any_defect", "f1")),
        ("whole label set right", ("subset_accuracy",)),
    )
    entries = [
        (title, _number(figure(experiment, key)), _range(interval(experiment, key)))
        for title, key in headlines
    ]
    confidence = look_up("test", "intervals", "confidence") or 0.95
    parts = look_up("data", "split", "parts") or {}
    sizes = ", ".join(f"{part} {entry.get('num_images')}" for part, entry in parts.items())
    epochs = len(look_up("history") or [])
    trained = (
        f"{look_up('config', 'model', 'name')} with {look_up('config', 'loss', 'type')}, "
        f"seed {look_up('experiment', 'seed')}; best of {epochs} epochs: {look_up('best_epoch')}. "
        f"{look_up('data', 'num_images')} images ({sizes}), split by "
        f"{look_up('data', 'split', 'strategy')}."
    )
    tested = (
        f"Figures are of the {look_up('test', 'num_images')} test images, from the best "
        f"checkpoint; in brackets {100 * confidence:g} % bootstrap intervals over images."
    )
    return paragraph(trained) + cards(entries) + paragraph(tested, "soft")


def class_table(experiment: Experiment) -> str:
    """Figures with intervals per class at 0.5, and beside them F1 at the chosen thresholds."""
    thresholds = experiment.look_up("thresholds") or {}
    header = ["", "images", *TITLES.values(), "threshold", "precision", "recall", "F1"]
    rows: list[list[Any]] = []
    names = [(name, ("per_class", name)) for name in experiment.class_names]
    for title, key in (*names, ("macro", ("macro",)), ("any defect", ("any_defect",))):
        support = experiment.look_up("test", *key, "support")
        row: list[Any] = [title, "" if support is None else support]
        for metric in METRICS:
            where = (*key, metric)
            row.append((_number(figure(experiment, where)), _range(interval(experiment, where))))
        row.append(_number(thresholds.get(key[-1])) if key[0] == "per_class" else "")
        for metric in ("precision", "recall", "f1"):
            at_chosen = experiment.look_up("test_at_thresholds", *key, metric)
            bounds = experiment.look_up("test_at_thresholds", "intervals", *key, metric)
            row.append((_number(at_chosen), _range(bounds)))
        rows.append(row)
    left_out = experiment.look_up("test", "undefined") or {}
    undefined = ", ".join(f"{TITLES[m]} of {n}" for m, n in left_out.items() if n)
    notes = paragraph(
        "Thresholds were chosen on the validation part by the criterion "
        f"{experiment.look_up('threshold_criterion')}. AP and AUROC do not depend on them.",
        "soft",
    )
    if undefined:
        notes += paragraph(f"Undefined, and left out of the macro mean: {undefined} class(es).")
    groups = (("", 2), ("at 0.5", len(METRICS)), ("at the chosen thresholds", 4))
    return table(header, rows, groups=groups) + notes


def training_curves(experiment: Experiment) -> str:
    """Loss and validation figures by epoch; the dotted line is the best epoch."""
    history: Sequence[Mapping[str, Any]] = experiment.look_up("history") or []
    if not history:
        return paragraph("No epoch was recorded.")
    best = [Mark("best epoch", experiment.look_up("best_epoch") or 0, line=True)]

    def over_epochs(label: str, colour: int, *keys: str) -> Series:
        points = []
        for record in history:
            value: Any = record
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            points.append((float(record["epoch"]), value))
        return Series(label, points, COLOURS[colour % len(COLOURS)])

    charts = [
        line_chart(
            "Loss",
            [
                over_epochs("training", 0, "train", "loss"),
                over_epochs("validation", 1, "validation", "loss"),
            ],
            Axes("epoch", "loss"),
            best,
        ),
        line_chart(
            "Validation, macro",
            [
                over_epochs("F1", 0, "validation", "macro_f1"),
                over_epochs("AP", 1, "validation", "macro_average_precision"),
                over_epochs("AUROC", 2, "validation", "macro_auroc"),
            ],
            Axes("epoch", "figure", y_range=UNIT),
            best,
        ),
        line_chart(
            "Validation F1 per class",
            [
                over_epochs(name, c, "validation", "per_class_f1", name)
                for c, name in enumerate(experiment.class_names)
            ],
            Axes("epoch", "F1", y_range=UNIT),
            best,
        ),
    ]
    weights = history[-1].get("loss_weights")
    if isinstance(weights, Mapping):
        series = [over_epochs(name, c, "loss_weights", name) for c, name in enumerate(weights)]
        charts.append(line_chart("Learned loss weights", series, Axes("epoch", "weight"), best))
    return f'<div class="charts">{"".join(charts)}</div>'


def precision_recall(experiment: Experiment, test: Predictions) -> str:
    """A precision-recall curve per class, with the points at 0.5 and at the chosen threshold."""
    thresholds = experiment.look_up("thresholds") or {}
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
        marks = [_operating_point("at 0.5", labels, scores, DEFAULT_THRESHOLD, filled=False)]
        chosen = thresholds.get(name)
        if chosen is not None:
            marks.append(_operating_point(f"at {chosen:.2f}, chosen", labels, scores, chosen))
        series = [
            Series("curve", curve, COLOURS[c % len(COLOURS)]),
            Series("chance", [(0.0, share), (1.0, share)], "#9aa4ae", dashed=True),
        ]
        average = _number(figure(experiment, ("per_class", name, "average_precision")))
        axes = Axes("recall", "precision", UNIT, UNIT)
        charts.append(line_chart(f"{name}: AP {average}", series, axes, marks))
    return f'<div class="charts">{"".join(charts)}</div>'


def reliability(experiment: Experiment, test: Predictions) -> str:
    """Share of positives by predicted probability, per class, before and after scaling."""
    names = experiment.class_names
    before = calibration_figures(test.labels, test.probabilities, names)
    after = experiment.look_up("calibration", "after", "per_class") or {}
    method = experiment.look_up("calibration", "method")
    charts, rows = [], []
    for c, name in enumerate(names):
        row = before["per_class"][name]
        series = [
            Series("honest", [(0.0, 0.0), (1.0, 1.0)], "#9aa4ae", dashed=True),
            Series("model", _curve(row), COLOURS[c % len(COLOURS)], dots=True),
        ]
        cells = [name, _number(row["expected_calibration_error"]), _number(row["brier_score"])]
        if name in after:
            series.append(Series(f"after {method}", _curve(after[name]), "#444444", dots=True))
            scaled = after[name]
            cells += [_number(scaled[k]) for k in ("expected_calibration_error", "brier_score")]
        axes = Axes("predicted probability", "share of positives", UNIT, UNIT)
        charts.append(line_chart(name, series, axes))
        rows.append(cells)
    header = ["", "calibration error", "Brier score"]
    header += [f"calibration error, {method}", f"Brier score, {method}"] if after else []
    note = paragraph(
        f"Bins of fewer than {FEW_IMAGES} images are not drawn; they count in the table.", "soft"
    )
    return f'<div class="charts">{"".join(charts)}</div>{note}{table(header, rows)}'


def _operating_point(
    label: str, labels: np.ndarray, scores: np.ndarray, threshold: float, *, filled: bool = True
) -> Mark:
    predicted = scores >= threshold
    hits = int((labels & predicted).sum())
    # Without a prediction there is no precision: the curve starts at 1 there.
    precision = hits / predicted.sum() if predicted.any() else 1.0
    return Mark(label, hits / labels.sum(), float(precision), filled=filled)


def _curve(row: Mapping[str, Any]) -> list[tuple[float, float | None]]:
    return [
        (point["mean_probability"], point["share_of_positives"])
        for point in row["reliability"]
        if point["num_images"] >= FEW_IMAGES
    ]


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) else "-"


def _range(bounds: Any) -> str:
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
