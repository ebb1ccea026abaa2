"""Precision, averaged weights, accumulation and the cache, from the command line to the folder."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from outcomes import read

from core.data.images import read_image
from core.predicting.trained_model import TrainedModel
from core.running.reevaluation import reevaluate


def run(train_command, results_dir: Path, *overrides: str) -> tuple[Path, dict]:
    ended = train_command(*overrides, f"experiment.results_dir={results_dir}")
    assert ended.exit_code == 0, ended.errors
    (file,) = results_dir.glob("*/results.json")
    return file.parent, read(file.parent)


def outcome(path: Path, results: dict) -> tuple:
    history = [(r["train"]["loss"], r["validation"]) for r in results["history"]]
    return history, (path / "predictions.csv").read_text()


BFLOAT16 = ["runtime.precision=bfloat16", "runtime.channels_last=true"]


@pytest.fixture(scope="module")
def in_bfloat16(completed, tiny) -> Path:
    """Folder of a completed experiment; copy it before changing anything in it."""
    return completed(*tiny, *BFLOAT16)


@pytest.mark.slow
def test_bfloat16_repeats_and_is_recorded(in_bfloat16, trained, train_command, tiny, tmp_path):
    path, results = run(train_command, tmp_path, *tiny, *BFLOAT16)
    assert results["computation"]["precision"] == "bfloat16"
    assert results["computation"]["channels_last"] is True
    assert outcome(path, results) == outcome(in_bfloat16, read(in_bfloat16))
    assert read(trained)["computation"]["precision"] == "float32"
    assert outcome(trained, read(trained)) != outcome(path, results)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["data.cache=disk"],
        ["data.num_workers=2"],
        ["data.cache=memory", "data.num_workers=2"],
    ],
)
def test_neither_cache_nor_workers_change_a_figure(
    overrides, trained, train_command, tiny, tmp_path
):
    found = outcome(*run(train_command, tmp_path, *tiny, *overrides))
    assert found == outcome(trained, read(trained))


@pytest.mark.slow
def test_averaged_weights_are_validated_kept_and_tested(train_command, tiny, tmp_path):
    path, results = run(
        train_command,
        tmp_path,
        *tiny,
        "training.ema_decay=0.9",
        "training.accumulation_steps=2",
        "training.layer_decay=0.8",
    )
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert last["num_updates"] == 2 * 3  # 42 images are 6 batches, or 3 groups of 2
    own = {key: value for key, value in last["training_model"].items() if value.is_floating_point()}
    assert last["model"].keys() == last["training_model"].keys()
    assert any(not torch.equal(last["model"][key], value) for key, value in own.items())
    final = torch.load(path / "model_final.pt", weights_only=True)["state_dict"]
    best = torch.load(path / "checkpoints" / "best.pt", weights_only=True)["model"]
    assert all(torch.equal(final[key], best[key]) for key in best)
    tested = results["history"][results["tested_epoch"] - 1]
    assert results["validation"]["macro"]["f1"] == tested["validation"]["macro_f1"]


@pytest.mark.slow
def test_a_model_trained_in_bfloat16_is_tested_as_it_is_predicted_with(in_bfloat16, tmp_path):
    path = Path(shutil.copytree(in_bfloat16, tmp_path / in_bfloat16.name))
    first = pd.read_csv(path / "predictions.csv")
    first = first[first.split == "test"].reset_index(drop=True)
    again = pd.read_csv(reevaluate(path) / "predictions.csv")
    pd.testing.assert_frame_equal(again, first)
    columns = [name for name in first if name.startswith("probability_")]
    folder = Path(read(path)["data"]["root"]) / "train_images"
    images = np.stack([read_image(folder / name, (32, 64), 1)[None] for name in first.image_id])
    predicted = TrainedModel(path)(images)
    np.testing.assert_allclose(predicted, first[columns], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_compiled_model_trains_to_the_same_figures(
    trained, train_command, tiny, tmp_path, monkeypatch
):
    # Traced and run as it is: generating code takes minutes, and is torch's own affair.
    compile_module = torch.nn.Module.compile
    compiled = []
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda module: compiled.append(module) or compile_module(module, backend="eager"),
    )
    overrides = [*tiny, "runtime.compile=true", "training.ema_decay=0.001"]
    path, results = run(train_command, tmp_path / "compiled", *overrides)
    assert len(compiled) == 2
    assert results["computation"]["compiled"] is True
    losses = [[e["train"]["loss"] for e in r["history"]] for r in (read(trained), results)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    state = torch.load(path / "model_final.pt", weights_only=True)["state_dict"]
    assert not [key for key in state if "_orig_mod" in key]


@pytest.mark.slow
def test_masks_are_learnt_in_bfloat16_with_checkpointing_and_an_average(
    train_command, tiny, tmp_path
):
    _, results = run(
        train_command,
        tmp_path,
        *tiny,
        "model.backbone=test_byobnet",
        "model.mask_head=true",
        "mask_loss.type=dice_loss",
        "runtime.precision=bfloat16",
        "training.gradient_checkpointing=true",
        "training.ema_decay=0.5",
        "training.num_epochs=1",
    )
    assert results["test"]["localization"]["macro"]["dice"] is not None
    assert results["computation"]["precision"] == "bfloat16"
