"""Every figure against scikit-learn called the plain way, and against its limits."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from simulated_predictions import random_predictions
from sklearn import metrics as sk

from core.errors import InputError
from core.metrics.classification import classification_metrics
from core.metrics.scored_predictions import METRICS

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]


@pytest.mark.parametrize("seed", range(3))
def test_classes_equal_scikit_learn(seed):
    labels, probabilities = random_predictions(seed)
    found = classification_metrics(labels, probabilities, NAMES)
    predicted = (probabilities >= 0.5).astype(int)
    report = sk.classification_report(
        labels, predicted, target_names=NAMES, output_dict=True, zero_division=0
    )
    confusion = sk.multilabel_confusion_matrix(labels, predicted)
    for c, name in enumerate(NAMES):
        row = found["per_class"][name]
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[ours] == pytest.approx(report[name][theirs], abs=1e-12)
        assert row["support"] == report[name]["support"]
        assert row["average_precision"] == pytest.approx(
            sk.average_precision_score(labels[:, c], probabilities[:, c]), abs=1e-12
        )
        assert row["auroc"] == pytest.approx(
            sk.roc_auc_score(labels[:, c], probabilities[:, c]), abs=1e-12
        )
        counts = [row[k + "s"] for k in ("true_negative", "false_positive")]
        counts += [row[k + "s"] for k in ("false_negative", "true_positive")]
        assert counts == confusion[c].ravel().tolist()


@pytest.mark.parametrize("seed", range(3))
def test_macro_and_micro_equal_scikit_learn(seed):
    labels, probabilities = random_predictions(seed)
    found = classification_metrics(labels, probabilities, NAMES)
    predicted = (probabilities >= 0.5).astype(int)
    for average in ("macro", "micro"):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        expected = {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "average_precision": sk.average_precision_score(labels, probabilities, average=average),
            "auroc": sk.roc_auc_score(labels, probabilities, average=average),
        }
        assert found[average] == pytest.approx(expected, abs=1e-12)
    assert found["subset_accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found["num_images"] == 200
    assert found["threshold"] == 0.5
    assert found["undefined"] == dict.fromkeys(METRICS, 0)


def test_class_without_positives_is_left_out_of_the_mean_and_counted():
    labels, probabilities = random_predictions(0)
    labels[:, 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification_metrics(labels, probabilities, NAMES)
    empty = found["per_class"]["defect_2"]
    assert empty["average_precision"] is None
    assert empty["auroc"] is None
    assert (empty["precision"], empty["recall"], empty["f1"], empty["support"]) == (0, 0, 0, 0)
    assert found["undefined"]["average_precision"] == found["undefined"]["auroc"] == 1
    assert found["undefined"]["f1"] == 0
    others = [0, 2, 3]
    assert found["macro"]["auroc"] == pytest.approx(
        np.mean([sk.roc_auc_score(labels[:, c], probabilities[:, c]) for c in others])
    )
    # F1 of an empty class is 0 and stays in the mean.
    f1 = [found["per_class"][name]["f1"] for name in NAMES]
    assert found["macro"]["f1"] == pytest.approx(sum(f1) / 4)


def test_all_positive_class_has_average_precision_but_no_auroc():
    labels, probabilities = random_predictions(1)
    labels[:, 2] = 1
    row = classification_metrics(labels, probabilities, NAMES)["per_class"]["defect_3"]
    assert row["auroc"] is None
    assert row["average_precision"] == 1.0


@pytest.mark.parametrize("value", [0, 1])
def test_single_image(value):
    labels = np.full((1, 4), value)
    found = classification_metrics(labels, np.full((1, 4), float(value)), NAMES)
    assert found["subset_accuracy"] == 1.0
    assert found["macro"]["auroc"] is None
    assert found["undefined"]["auroc"] == 4
    assert found["micro"]["f1"] == value
    assert found["macro"]["average_precision"] == (1.0 if value else None)


def test_nothing_defined_anywhere():
    found = classification_metrics(np.zeros((3, 4)), np.full((3, 4), 0.1), NAMES)
    assert found["macro"]["average_precision"] is None
    assert found["micro"]["average_precision"] is None
    assert found["any_defect"]["auroc"] is None
    assert found["undefined"]["average_precision"] == 4


def test_thresholds_per_class_move_only_the_decisions():
    labels, probabilities = random_predictions(2)
    chosen = {"defect_1": 0.3, "defect_2": 0.6, "defect_3": 0.5, "defect_4": 0.45}
    found = classification_metrics(labels, probabilities, NAMES, chosen)
    assert found["threshold"] == chosen
    plain = classification_metrics(labels, probabilities, NAMES)
    for c, name in enumerate(NAMES):
        expected = sk.f1_score(labels[:, c], probabilities[:, c] >= chosen[name])
        assert found["per_class"][name]["f1"] == pytest.approx(expected)
        assert found["per_class"][name]["auroc"] == plain["per_class"][name]["auroc"]
    assert found["macro"]["f1"] != plain["macro"]["f1"]


def test_a_probability_at_its_threshold_is_a_prediction():
    found = classification_metrics(np.array([[1], [0]]), np.array([[0.5], [0.49]]), ["defect_1"])
    assert found["per_class"]["defect_1"]["true_positives"] == 1
    assert found["subset_accuracy"] == 1.0


def test_any_defect_is_the_image_level_question():
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, 0]])
    probabilities = np.array([[0.2, 0.9], [0.3, 0.4], [0.1, 0.2], [0.7, 0.1]])
    row = classification_metrics(labels, probabilities, ["a", "b"])["any_defect"]
    truth, score = [1, 0, 1, 0], [0.9, 0.4, 0.2, 0.7]
    assert row["support"] == 2
    # The first image is found although its class is mistaken.
    counts = [row[key + "_positives"] for key in ("true", "false")]
    assert [*counts, row["true_negatives"], row["false_negatives"]] == [1, 1, 1, 1]
    assert row["auroc"] == pytest.approx(sk.roc_auc_score(truth, score))
    assert row["average_precision"] == pytest.approx(sk.average_precision_score(truth, score))


def test_order_of_images_does_not_matter_and_inputs_are_untouched():
    labels, probabilities = random_predictions(3)
    copies = labels.copy(), probabilities.copy()
    order = np.random.default_rng(0).permutation(len(labels))
    assert classification_metrics(labels, probabilities, NAMES) == classification_metrics(
        labels[order], probabilities[order], NAMES
    )
    np.testing.assert_array_equal(labels, copies[0])
    np.testing.assert_array_equal(probabilities, copies[1])


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_bounds_and_counts_hold_for_any_input(data):
    images = data.draw(st.integers(1, 12))
    classes = data.draw(st.integers(1, 4))
    shape = (images, classes)
    labels = data.draw(arrays(np.uint8, shape, elements=st.integers(0, 1)))
    probabilities = data.draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    found = classification_metrics(labels, probabilities, NAMES[:classes])
    rows = [*found["per_class"].values(), found["macro"], found["micro"], found["any_defect"]]
    for row in rows:
        for metric in METRICS:
            assert row[metric] is None or 0 <= row[metric] <= 1 + 1e-12
    predicted = probabilities.astype(np.float64) >= 0.5
    assert found["subset_accuracy"] == pytest.approx(np.mean((predicted == labels).all(axis=1)))
    for row in found["per_class"].values():
        assert row["true_positives"] + row["false_negatives"] == row["support"]
        assert row["false_positives"] + row["true_negatives"] == images - row["support"]
        assert (row["average_precision"] is None) == (row["support"] == 0)
        assert (row["auroc"] is None) == (row["support"] in (0, images))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_figures_equal_scikit_learn_for_any_input_with_ties(data):
    images = data.draw(st.integers(1, 40))
    labels = data.draw(arrays(bool, images))
    # Few values, so that positives and negatives share them; and any values.
    few = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    scores = data.draw(arrays(np.float64, images, elements=few | st.floats(0, 1)))
    row = classification_metrics(labels[:, None], scores[:, None], ["a"])["per_class"]["a"]
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        labels, scores >= 0.5, pos_label=True, average="binary", zero_division=0
    )
    expected = {"precision": precision, "recall": recall, "f1": f1}
    if labels.any():
        expected["average_precision"] = sk.average_precision_score(labels, scores)
        if not labels.all():
            expected["auroc"] = sk.roc_auc_score(labels, scores)
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, -0.01, 1.5, np.inf])
def test_impossible_probability_is_named(wrong):
    labels, probabilities = random_predictions(4)
    probabilities[7, 2] = wrong
    with pytest.raises(InputError, match=r"probability .* of class 'defect_3' in row 7.*\[0, 1\]"):
        classification_metrics(labels, probabilities, NAMES)


def test_impossible_label_is_named():
    labels, probabilities = random_predictions(4)
    labels[3, 0] = 2
    with pytest.raises(InputError, match="label 2 of class 'defect_1' in row 3"):
        classification_metrics(labels, probabilities, NAMES)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (np.zeros((3, 4)), np.zeros((2, 4))),
        (np.zeros((3, 3)), np.zeros((3, 3))),
        (np.zeros((0, 4)), np.zeros((0, 4))),
        (np.zeros(4), np.zeros(4)),
    ],
)
def test_wrong_shapes_are_refused(labels, probabilities):
    with pytest.raises(InputError, match="shape"):
        classification_metrics(labels, probabilities, NAMES)


def test_missing_threshold_is_named():
    labels, probabilities = random_predictions(4)
    with pytest.raises(InputError, match="'defect_2'"):
        classification_metrics(labels, probabilities, NAMES, {"defect_1": 0.5, "defect_3": 0.5})
