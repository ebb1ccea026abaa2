"""A finished experiment's model, read back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.experiments.reading import read_experiment
from core.predicting.trained_model import TrainedModel, load_model


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def set_model(experiment: Path, **values) -> None:
    results = json.loads((experiment / "results.json").read_text())
    results["config"]["model"] |= values
    (experiment / "results.json").write_text(json.dumps(results))


def test_nothing_is_downloaded_nor_looked_for(experiment):
    expected = load_model(read_experiment(experiment)).state_dict()
    set_model(experiment, pretrained=True, weights="/nowhere/file.pt")
    found = load_model(read_experiment(experiment)).state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_mask_head_that_was_left_out_of_the_training_is_left_out_here(experiment):
    """As where the data had image-level labels only."""
    set_model(experiment, mask_head=True)
    model = load_model(read_experiment(experiment))
    assert model.mask_head is None
    assert not model.training


def test_the_version_changes_with_the_weights(experiment):
    before = TrainedModel(experiment).signature
    content = torch.load(experiment / "model_final.pt", weights_only=True)
    list(content["state_dict"].values())[-1].add_(1)
    torch.save(content, experiment / "model_final.pt")
    after = TrainedModel(experiment).signature
    assert before.model != after.model
    assert before.thresholds == after.thresholds
    assert before.threshold_version == after.threshold_version


def test_a_threshold_that_nothing_reaches_stays_out_of_reach(experiment):
    """Calibrated, a threshold above 1 would come within the probabilities."""
    results = json.loads((experiment / "results.json").read_text())
    names = results["data"]["class_names"]
    results["thresholds"] = dict.fromkeys(names, float(np.nextafter(1, 2)))
    scaling = {name: {"slope": 0.5, "intercept": -1.0} for name in names}
    results["calibration"] |= {"method": "platt", "scaling": scaling}
    (experiment / "results.json").write_text(json.dumps(results))
    model = TrainedModel(experiment)
    assert min(model.signature.thresholds) > 1


def test_files_that_do_not_fit_are_refused(experiment):
    (experiment / "model_final.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="not a whole checkpoint"):
        TrainedModel(experiment)
    (experiment / "model_final.pt").unlink()
    with pytest.raises(InputError, match="no such checkpoint"):
        TrainedModel(experiment)
