"""What a loss does to probabilities is undone in everything that a training reports."""

import logging
import shutil

import numpy as np
import pytest
import torch
from final_models import read_final_model
from outcomes import outcome, read

from core.experiments.predictions import read_predictions
from core.experiments.reading import read_experiment
from core.losses import get_loss
from core.metrics.classification import classification_metrics
from core.metrics.scaling import Scaling, to_logits
from core.predicting.trained_model import TrainedModel

RANKS = ("average_precision", "auroc")
LAST = "training.tested_epoch=last"


@pytest.fixture(scope="module")
def undone(completed, tiny):
    """A training with focal loss and dynamic alpha, the default."""
    return completed(*tiny, LAST)


@pytest.fixture(scope="module")
def plain(completed, tiny):
    """The same weights, with nothing undone."""
    return completed(*tiny, LAST, "evaluation.calibration=none")


def scaling_of(results) -> Scaling:
    rows = results["calibration"]["scaling"].values()
    return Scaling(*(np.array([row[key] for row in rows]) for key in ("slope", "intercept")))


@pytest.mark.slow
def test_the_scaling_is_that_of_the_loss_and_is_everywhere(undone, plain):
    results = read(undone)
    assert results["calibration"]["method"] == "auto"
    scaling, loss = scaling_of(results), get_loss(results["loss"]["params"])
    np.testing.assert_allclose([scaling.slopes, scaling.intercepts], loss.posterior_scaling(4))
    for part in ("validation", "test"):
        own, reported = (read_predictions(read_experiment(x), part) for x in (plain, undone))
        expected = scaling(own.probabilities)
        np.testing.assert_allclose(reported.probabilities, expected, rtol=0, atol=1e-5)
    of_test = read_predictions(read_experiment(undone), "test")
    names = results["data"]["class_names"]
    recomputed = classification_metrics(of_test.labels, of_test.probabilities, names)
    assert results["test"]["macro"] == pytest.approx(recomputed["macro"])
    assert results["calibration"]["before"] == read(plain)["calibration"]["before"]


def test_the_order_of_the_images_of_a_class_does_not_change(undone, plain):
    ours, own = (read(path)["test"]["per_class"] for path in (undone, plain))
    for name, row in ours.items():
        assert {key: row[key] for key in RANKS} == {key: own[name][key] for key in RANKS}


def test_the_epochs_are_judged_by_what_is_reported(undone, plain):
    last, reported = read(undone)["history"][-1]["validation"], read(undone)["validation"]
    assert last["per_class_f1"] == {n: r["f1"] for n, r in reported["per_class"].items()}
    assert [epoch["validation"]["loss"] for epoch in read(undone)["history"]] == [
        epoch["validation"]["loss"] for epoch in read(plain)["history"]
    ]


def test_a_predictor_returns_the_reported_probabilities(undone):
    trained, results = TrainedModel(undone), read(undone)
    signature = trained.signature
    assert (
        dict(zip(signature.class_names, signature.thresholds, strict=True))
        == (results["thresholds"])
    )
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 32, 160), np.uint8)
    with torch.inference_mode():
        logits = trained.model(torch.from_numpy(images))
    logits = logits["logits"] if isinstance(logits, dict) else logits
    own = logits.double().sigmoid().numpy()
    scaling = scaling_of(results)
    expected = scaling.slopes * to_logits(own) + scaling.intercepts
    np.testing.assert_allclose(to_logits(trained(images)), expected, atol=1e-6)


def test_a_file_without_the_record_is_read_as_before(undone, tmp_path):
    folder = shutil.copytree(undone, tmp_path / undone.name)
    content = read_final_model(folder)
    assert content.pop("scaled_thresholds")
    torch.save(content, folder / "model_final.pt")
    trained, thresholds = TrainedModel(folder), list(content["thresholds"].values())
    np.testing.assert_allclose(trained.signature.thresholds, trained.scaling(thresholds))
    assert trained.late_scaling is trained.late_scaling is not None


def test_it_is_said_where_it_is_done(completed, tiny, plain, caplog):
    with caplog.at_level(logging.INFO):
        path = completed(*tiny, "experiment.name=said")
    assert "FocalLoss moves probabilities away from the posterior" in caplog.text
    assert "undoes how the loss moves probabilities" in (path / "MODEL_CARD.md").read_text()
    assert "This is undone" in (path / "report.html").read_text()
    for name in ("MODEL_CARD.md", "report.html"):
        assert "This is undone" not in (plain / name).read_text()
        assert "undoes how" not in (plain / name).read_text()


@pytest.mark.slow
def test_without_weights_nothing_is_undone_to_the_last_digit(completed, tiny):
    ours, own = (
        completed(*tiny, "loss.type=bce_with_logits", f"evaluation.calibration={method}")
        for method in ("auto", "none")
    )
    assert read(ours)["calibration"]["method"] == "none"
    one, other = outcome(ours), outcome(own)
    assert one == other
