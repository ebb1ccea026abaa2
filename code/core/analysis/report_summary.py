"""The first sections of a report: what was trained, how good it is, and the files beside it."""

from typing import Any
from urllib.parse import quote

from core.analysis.decisions import Counts, Decisions, count_any_defect, count_decisions
from core.analysis.page import cards, links, paragraph, table
from core.analysis.text_tables import METRIC_TITLES, class_title, interval_text, number, resampled
from core.experiments.reading import Experiment
from core.metrics.scored_predictions import METRICS

AT_CHOSEN, AT_HALF = "test_at_thresholds", "test"
DECIDED, RANKED = METRICS[:3], METRICS[3:]
HEADLINES = {
    "macro-F1": ("macro", "f1"),
    "F1, any defect": ("any_defect", "f1"),
    "whole label set right": ("subset_accuracy",),
    "macro average precision": ("macro", "average_precision"),
    "macro AUROC": ("macro", "auroc"),
}
FILES = (
    "results.json", "predictions.csv", "train.log", "MODEL_CARD.md", "history.png", "config.yaml",
    "split.csv", "duplicates.csv", "flipped_labels.csv", "model_final.pt", "model.onnx",
    "latency.json",
)  # fmt: skip


def summary(experiment: Experiment, test: Decisions, at_half: Decisions) -> str:
    """What was trained on what, and the headline figures."""
    look_up = experiment.look_up
    parts = look_up("data", "split", "parts") or {}
    sizes = ", ".join(f"{part} {entry.get('num_images')}" for part, entry in parts.items())
    trained = (
        f"{look_up('config', 'model', 'name')} with {look_up('config', 'loss', 'type')}, seed "
        f"{look_up('experiment', 'seed')}. The best of {len(look_up('history') or [])} epochs is "
        f"epoch {look_up('best_epoch')}. {look_up('data', 'num_images')} images ({sizes}), split "
        f"by {look_up('data', 'split', 'strategy')}."
    )
    confidence = look_up("test", "intervals", "confidence") or 0.95
    over = resampled(*(look_up("test", "intervals", key) for key in ("unit", "num_units")))
    tested_epoch = look_up("tested_epoch") or look_up("best_epoch")
    which = "best" if look_up("config", "training", "tested_epoch") != "last" else "last"
    tested = (
        f"Figures on the {look_up('test', 'num_images')} test images, with the checkpoint of epoch "
        f"{tested_epoch} (the {which}), at the thresholds chosen on the validation part, as "
        f"code/predict.py uses them. In brackets: {100 * confidence:g} % bootstrap intervals over "
        f"{over}. AP and AUROC depend on no threshold."
    )
    entries = [_card(experiment, title, *keys) for title, keys in HEADLINES.items()]
    entries.append(_clean_card(test, at_half))
    return paragraph(trained) + cards(entries) + paragraph(tested, "soft")


def _card(experiment: Experiment, title: str, *keys: str) -> tuple[str, str, list[str]]:
    half, bounds = _cell(experiment, AT_HALF, *keys)
    if keys[-1] in RANKED or experiment.look_up(AT_CHOSEN) is None:
        return title, half, [bounds]
    value, bounds = _cell(experiment, AT_CHOSEN, *keys)
    return title, value, [bounds, f"at 0.5: {half}"]


def _clean_card(test: Decisions, at_half: Decisions) -> tuple[str, str, list[str]]:
    clean = int((~test.labels.any(axis=1)).sum())
    counts, half = count_any_defect(test), count_any_defect(at_half)
    notes = [f"{counts.on_clean} of {clean}", f"at 0.5: {_per_hundred(half, clean)}"]
    return "false alarms per 100 clean strips", _per_hundred(counts, clean), notes


def _per_hundred(counts: Counts, clean: int) -> str:
    return number(100 * counts.on_clean / clean if clean else None, 1)


def decision_table(test: Decisions, at_half: Decisions) -> str:
    """How many strips of each class were found, missed and seen where they are not."""
    clean = int((~test.labels.any(axis=1)).sum())
    both = (test, at_half)
    per_class = [count_decisions(decisions) for decisions in both]
    entries = [
        (class_title(name), number(threshold), [counts[name] for counts in per_class])
        for name, threshold in test.thresholds.items()
    ]
    entries.append(("any defect", "", [count_any_defect(decisions) for decisions in both]))
    rows = []
    for title, threshold, (chosen, half) in entries:
        support = chosen.true_positives + chosen.false_negatives
        rows.append([title, support, threshold, *_counted(chosen, clean), *_counted(half, clean)])
    shown = (
        ("found", "TP"), ("missed", "FN"), ("false alarms", "FP"), ("per 100", "clean strips"),
    )  # fmt: skip
    groups = (("", 2), ("at the chosen thresholds", 5), ("at 0.5", 4))
    note = (
        f"Test images, {clean} of them clean. Per 100 clean strips: how many of 100 strips without "
        "any defect are reported to have this one."
    )
    return table(["", "images", "threshold", *shown, *shown], rows, groups=groups) + paragraph(
        note, "soft"
    )


def _counted(counts: Counts, clean: int) -> list[Any]:
    found = (counts.true_positives, counts.false_negatives, counts.false_positives)
    return [*found, _per_hundred(counts, clean)]


def class_table(experiment: Experiment) -> str:
    """Figures with intervals per class, at the chosen thresholds and at 0.5."""
    look_up = experiment.look_up
    keys = [(class_title(name), ("per_class", name)) for name in experiment.class_names]
    keys += [("macro", ("macro",)), ("any defect", ("any_defect",))]
    rows = []
    for title, key in keys:
        cells = [_cell(experiment, part, *key, metric) for part in (AT_CHOSEN, AT_HALF)
                 for metric in DECIDED]  # fmt: skip
        cells += [_cell(experiment, AT_HALF, *key, metric) for metric in RANKED]
        rows.append([title, *cells])
    notes = paragraph(
        "Thresholds were chosen on the validation part by the criterion "
        f"{look_up('threshold_criterion')}.{_threshold_basis(experiment)}",
        "soft",
    )
    left_out = (look_up("test", "undefined") or {}).items()
    if undefined := ", ".join(f"{METRIC_TITLES[metric]} of {n}" for metric, n in left_out if n):
        notes += paragraph(f"Undefined, and left out of the macro mean: {undefined} class(es).")
    titles = [METRIC_TITLES[metric] for metric in (*DECIDED, *DECIDED, *RANKED)]
    groups = (("", 1), ("at the chosen thresholds", 3), ("at 0.5", 3), ("at any threshold", 2))
    return table(["", *titles], rows, groups=groups) + notes


def _threshold_basis(experiment: Experiment) -> str:
    """The validation images behind each threshold, which ones stayed, and what none reaches."""
    basis = experiment.look_up("threshold_basis") or {}
    if not basis:
        return ""
    numbers = ", ".join(f"{name} {each.get('positives')}" for name, each in basis.items())
    stayed = [
        f" {name} stayed at {number(experiment.look_up('thresholds', name), 2)}: {each['kept']}."
        for name, each in basis.items()
        if each.get("kept")
    ]
    unmet = [
        f" {name}: {each['unmet']}; the most precise one was taken."
        for name, each in basis.items()
        if each.get("unmet")
    ]
    return f" Validation images that show the class: {numbers}.{''.join(stayed + unmet)}"


def _cell(experiment: Experiment, part: str, *keys: str) -> tuple[str, str]:
    """A figure and its interval."""
    bounds = experiment.look_up(part, "intervals", *keys)
    return number(experiment.look_up(part, *keys)), interval_text(bounds)


def files_beside(experiment: Experiment) -> str:
    """Links to the files in the experiment's folder, those that are there."""
    names = [name for name in FILES if (experiment.path / name).is_file()]
    return links((quote(name), name) for name in names)
