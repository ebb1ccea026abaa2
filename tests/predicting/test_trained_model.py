"""A finished experiment's model, read back from model_final.pt."""

import json
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from final_models import change_final_model, read_final_model

from core.errors import InputError
from core.predicting import building
from core.predicting.trained_model import FinalModel, TrainedModel

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
SCALING = {name: {"slope": 0.5, "intercept": -1.0} for name in NAMES}
# What the version before this one did not write.
NEW_KEYS = (
    "schema_version", "experiment", "threshold_criterion", "scaling", "scaled_thresholds",
)  # fmt: skip
INFINITE, TURNED = {"slope": np.inf, "intercept": 0.0}, {"slope": -2.0, "intercept": 0.0}
LATE = {"scaling": SCALING, "scaled_thresholds": False}


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def results(experiment: Path) -> dict:
    return json.loads((experiment / "results.json").read_text())


def write_results(experiment: Path, content: dict) -> None:
    (experiment / "results.json").write_text(json.dumps(content))


def test_the_file_holds_what_the_schema_names(experiment):
    content, report = read_final_model(experiment), results(experiment)
    assert set(content) == set(FinalModel.model_fields) - {"file"}
    assert content["experiment"] == experiment.name
    assert content["model"] == report["config"]["model"]
    assert content["image_size"] == report["config"]["data"]["image_size"]
    assert content["class_names"] == report["data"]["class_names"]
    assert content["thresholds"] == report["thresholds"]
    assert content["threshold_criterion"] == report["threshold_criterion"]
    assert content["scaling"] == report["calibration"]["scaling"]
    assert content["scaled_thresholds"]


def test_the_file_alone_says_what_the_model_is(experiment):
    """Whatever results.json says about model, data, thresholds and calibration."""
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 320), np.uint8)
    change_final_model(experiment, scaling=SCALING)
    before = TrainedModel(experiment)
    report = results(experiment)
    report["config"] = {"model": {"name": "none"}, "data": {"image_size": [1, 1], "channels": 3}}
    report["thresholds"] = report["calibration"] = report["threshold_criterion"] = None
    write_results(experiment, report)
    after = TrainedModel(experiment)
    assert after.signature == before.signature
    np.testing.assert_array_equal(after(images), before(images))


def test_the_file_of_the_version_before_is_completed_from_the_results(experiment):
    change_final_model(experiment, **LATE, experiment="another name")
    expected = TrainedModel(experiment)
    content = read_final_model(experiment)
    torch.save(
        {key: value for key, value in content.items() if key not in NEW_KEYS},
        experiment / "model_final.pt",
    )
    report = results(experiment)
    report["calibration"] |= {"method": "platt", "scaling": SCALING}
    write_results(experiment, report)
    found = TrainedModel(experiment)
    assert found.signature.model.startswith(f"{experiment.name}@")
    assert (
        found.signature.model_copy(update={"model": expected.signature.model}) == expected.signature
    )
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 320), np.uint8)
    np.testing.assert_array_equal(found(images), expected(images))


def test_nothing_is_downloaded_nor_looked_for(experiment):
    expected = TrainedModel(experiment).model.state_dict()
    values = read_final_model(experiment)["model"]
    changed = {**values, "pretrained": True, "weights": "/nowhere/file.pt"}
    change_final_model(experiment, model=changed)
    model = TrainedModel(experiment).model
    found = model.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert not model.training


def test_the_version_changes_with_the_weights(experiment):
    before = TrainedModel(experiment).signature
    weights = read_final_model(experiment)["state_dict"]
    list(weights.values())[-1].add_(1)
    change_final_model(experiment, state_dict=weights)
    after = TrainedModel(experiment).signature
    assert before.model != after.model
    assert before.thresholds == after.thresholds
    assert before.threshold_version == after.threshold_version


def test_a_threshold_that_nothing_reaches_stays_out_of_reach(experiment):
    """Calibrated, a threshold above 1 would come within the probabilities."""
    never = dict.fromkeys(NAMES, float(np.nextafter(1, 2)))
    change_final_model(experiment, thresholds=never, **LATE)
    assert min(TrainedModel(experiment).signature.thresholds) > 1


WRONG = {
    "of a later version": ({"schema_version": 2}, "schema_version=2"),
    "a class without a threshold": ({"thresholds": {"defect_1": 0.5}}, "one threshold"),
    "a scaling of other classes": ({"scaling": {"a": SCALING["defect_1"]}}, "one scaling or none"),
    "an unknown key": ({"news": 1}, "news=1"),
    "no weights": ({"state_dict": None}, "state_dict=None"),
    "a threshold that is no number": ({"thresholds": dict.fromkeys(NAMES, np.nan)}, "threshold"),
    "a threshold below 0": ({"thresholds": dict.fromkeys(NAMES, -1.0)}, "threshold"),
    "a scaling to one value": ({"scaling": {**SCALING, "defect_2": INFINITE}}, "scaling"),
    "a scaling that turns the order": ({"scaling": {**SCALING, "defect_2": TURNED}}, "scaling"),
    "weights of another model": ({"state_dict": {}}, "does not fit model timm"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_with_other_content_are_refused(name, experiment):
    values, expected = WRONG[name]
    change_final_model(experiment, **values)
    with pytest.raises(InputError, match=rf"model_final\.pt: .*{expected}") as caught:
        TrainedModel(experiment)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


# Each would build for minutes, or fill the memory; the weights are those of a small network.
COSTLY = {
    "a deep network": ("convnext_atto", {"depths": [2, 2, 100_000, 2]}),
    "a network of endless depth": ("convnext_atto", {"depths": [2, 2, 10**9, 2]}),
    "a wide network": ("convnext_atto", {"dims": [40, 80, 160, 10**6]}),
    "a network too wide to exist": ("convnext_atto", {"dims": [10**8] * 4}),
    "a large table of positions": ("vit_tiny_patch16_224", {"img_size": [2**17, 2**17]}),
    "a large window": ("swin_tiny_patch4_window7_224", {"img_size": 4096, "window_size": 1024}),
    "a depth that is text": ("convnext_atto", {"depths": "deep"}),
}


@pytest.mark.parametrize("name", COSTLY)
def test_options_that_build_for_minutes_are_refused_in_seconds(name, experiment, monkeypatch):
    # The memory is filled before it is refused, which takes its time.
    monkeypatch.setattr(building, "_MORE_MEMORY", 1 << 30)
    backbone, options = COSTLY[name]
    values = {**read_final_model(experiment)["model"], "name": "timm", "backbone": backbone}
    change_final_model(experiment, model={**values, "backbone_options": options})
    begun, limits = time.process_time(), resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(InputError, match=r"model_final\.pt: does not fit model timm") as caught:
        TrainedModel(experiment)
    assert len(str(caught.value)) < 600
    assert time.process_time() - begun < building.SECONDS
    assert resource.getrlimit(resource.RLIMIT_AS) == limits
    torch.nn.Sequential(*[torch.nn.Identity() for _ in range(3000)])  # nothing counts any more


def test_a_model_that_returns_no_numbers_is_an_error_and_no_clean_strip(experiment):
    state = read_final_model(experiment)["state_dict"]
    last = list(state)[-1]
    change_final_model(experiment, state_dict={**state, last: torch.full_like(state[last], np.nan)})
    with pytest.raises(InputError, match=r"model_final\.pt: returns .*others than probabilities"):
        TrainedModel(experiment)(np.zeros((2, 1, 64, 320), np.uint8))


def test_files_that_are_no_final_model_are_refused(experiment):
    file = experiment / "model_final.pt"
    torch.save([1, 2], file)
    with pytest.raises(InputError, match=r"model_final\.pt: .*expected the final model"):
        TrainedModel(experiment)
    file.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="not a whole checkpoint"):
        TrainedModel(experiment)
    file.unlink()
    with pytest.raises(InputError, match="no such checkpoint"):
        TrainedModel(experiment)
