"""What is decided at which thresholds: its counts, and which label sets are confused."""

import re

import numpy as np
from experiment_factory import CLASS_NAMES, read_results, write_experiment

from core.analysis.decisions import Decisions, count_any_defect, count_decisions, decisions_of
from core.analysis.label_sets import confusion, set_names
from core.analysis.report_summary import decision_table
from core.experiments.predictions import read_predictions
from core.experiments.reading import read_experiment


def decisions(labels, probabilities, at=0.5) -> Decisions:
    thresholds = dict.fromkeys(CLASS_NAMES[: labels.shape[1]], at)
    return Decisions((), labels, probabilities, probabilities >= at, thresholds)


def test_confusion_counts_every_image_once():
    generator = np.random.default_rng(0)
    labels, predicted = generator.random((2, 300, 4)) < 0.3
    html = confusion(decisions(labels, predicted.astype(float))).partition("<tbody>")[2]
    rows = re.findall(r"<tr><th>([^<]*)</th>(.*?)<td>(\d+)</td></tr>", html)
    assert sum(int(total) for _, _, total in rows) == 300
    for name, cells, total in rows:
        counts = [int(text or 0) for text in re.findall(r"<td[^>]*>(\d*)</td>", cells)]
        assert sum(counts) == int(total), name
    true = set_names(labels, CLASS_NAMES)
    assert {name: int(total) for name, _, total in rows}["no defect"] == true.count("no defect")


def test_label_sets_are_named_by_their_classes():
    labels = np.array([[0, 0, 0, 0], [1, 0, 1, 0]], dtype=bool)
    assert set_names(labels, CLASS_NAMES) == ["no defect", "defect_1 + defect_3"]


def test_the_counts_agree_with_those_of_the_results(tmp_path):
    folder = write_experiment(tmp_path, images=80)
    experiment = read_experiment(folder)
    part = read_predictions(experiment)
    results = read_results(folder)
    for at, key in ((None, "test_at_thresholds"), (0.5, "test")):
        found = decisions_of(experiment, part, at)
        counted = count_decisions(found) | {"any": count_any_defect(found)}
        recorded = results[key]["per_class"] | {"any": results[key]["any_defect"]}
        for name, counts in counted.items():
            for count in ("true_positives", "false_negatives", "false_positives"):
                assert getattr(counts, count) == recorded[name][count], (key, name)


def test_false_alarms_are_counted_on_clean_strips():
    labels = np.array([[0, 0], [0, 0], [0, 0], [1, 0]], dtype=bool)
    probabilities = np.array([[0.9, 0.8], [0.1, 0.7], [0.1, 0.1], [0.9, 0.9]])
    found = decisions(labels, probabilities)
    assert [counts.on_clean for counts in count_decisions(found).values()] == [1, 2]
    assert count_decisions(found)["defect_2"].false_positives == 3
    assert count_any_defect(found).on_clean == 2
    # In the table, those at the chosen thresholds stand before those at 0.5.
    table = decision_table(decisions(labels, probabilities, 0.75), found)
    (row,) = re.findall(r"<tr><td>defect_2</td>(.*?)</tr>", table)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
    assert cells == ["0", "0.750", "0", "0", "2", "33.3", "0", "0", "3", "66.7"]
