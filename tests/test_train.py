"""The main job, from the command line to results.json."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from outcomes import read
from sklearn.metrics import average_precision_score, f1_score

from core.running.composition import build
from core.running.loading import choose_split, read_data

CLASSES = ["defect_1", "defect_2", "defect_3", "defect_4"]


def only_experiment(results_dir: Path) -> Path:
    (path,) = [entry for entry in results_dir.iterdir() if (entry / "results.json").is_file()]
    return path


def run(train_command, results_dir: Path, *overrides: str, **how: bool) -> tuple[Path, dict]:
    ended = train_command(*overrides, f"experiment.results_dir={results_dir}", **how)
    assert ended.exit_code == 0, ended.errors
    path = only_experiment(results_dir)
    assert str(path / "results.json") in ended.output
    for name in CLASSES:
        assert name in ended.output
    return path, read(path)


@pytest.mark.slow
def test_experiment_folder_is_complete_and_consistent(train_command, tiny, tmp_path):
    path, results = run(train_command, tmp_path / "results", *tiny, curves=True)
    expected = {
        "results.json",
        "config.yaml",
        "split.csv",
        "duplicates.csv",
        "predictions.csv",
        "checkpoints",
        "model_final.pt",
        "train.log",
        "history.png",
        "report.html",
    }
    assert expected <= {entry.name for entry in path.iterdir()}
    assert {entry.name for entry in (path / "checkpoints").iterdir()} == {"best.pt", "last.pt"}
    assert (path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert results["schema_version"] == 1
    assert results["status"] == "completed"
    assert results["config"]["loss"]["type"] == "focal_loss"
    assert results["model"]["num_parameters"] > 0
    assert [record["epoch"] for record in results["history"]] == [1, 2]
    scores = [record["validation"]["macro_f1"] for record in results["history"]]
    assert scores[results["best_epoch"] - 1] == max(scores)
    counts = {part: info["num_images"] for part, info in part_counts(results).items()}
    assert counts == {"train": 42, "validation": 9, "test": 9}
    assert set(results["thresholds"]) == set(CLASSES)


def part_counts(results: dict) -> dict:
    return results["data"]["split"]["parts"]


def test_test_figures_are_those_of_the_predictions_file(trained):
    results = read(trained)
    table = pd.read_csv(trained / "predictions.csv")
    split = pd.read_csv(trained / "split.csv")
    test = table[table.split == "test"]
    assert set(test.image_id) == set(split[split.split == "test"].image_id)
    labels = test[[f"label_{name}" for name in CLASSES]].to_numpy()
    probabilities = test[[f"probability_{name}" for name in CLASSES]].to_numpy()
    for c, name in enumerate(CLASSES):
        row = results["test"]["per_class"][name]
        assert row["support"] == labels[:, c].sum() > 0
        assert row["f1"] == pytest.approx(
            f1_score(labels[:, c], probabilities[:, c] >= 0.5, zero_division=0)
        )
        assert row["average_precision"] == pytest.approx(
            average_precision_score(labels[:, c], probabilities[:, c])
        )


def test_alpha_is_one_minus_the_share_in_the_training_part(trained):
    results = read(trained)
    part = part_counts(results)["train"]
    expected = [1 - part["class_counts"][name] / part["num_images"] for name in CLASSES]
    params = results["loss"]["params"]
    assert params["alpha"] == pytest.approx(expected, abs=1e-6)
    assert params["alpha_source"] == "train_split"


def test_alpha_does_not_depend_on_the_batch_size(compose, tiny):
    alphas = []
    for size in (4, 16):
        config = compose(*tiny, f"data.batch_size={size}")
        data = read_data(config.data)
        setup = build(config, data, choose_split(config, data))
        alphas.append(setup.learner.objective.image_loss.get_params()["alpha"])
    assert alphas[0] == alphas[1]


@pytest.mark.slow
@pytest.mark.parametrize("tested", ["best", "last"])
def test_final_model_is_that_of_the_epoch_asked_for(
    tested, train_command, tiny, tmp_path, monkeypatch
):
    """After the first epoch the weights are spoilt, so that the last epoch is the worst."""
    from core.training import trainer

    original = trainer.train_epoch

    def spoil(learner, *rest):
        report = original(learner, *rest)
        if learner.num_updates > 6:
            for parameter in learner.model.parameters():
                parameter.data.zero_()
            parameter.data.fill_(-20)  # the head's bias: no defect anywhere
        return report

    monkeypatch.setattr(trainer, "train_epoch", spoil)
    overrides = [*tiny, f"training.tested_epoch={tested}"]
    path, results = run(train_command, tmp_path / "results", *overrides)
    assert results["best_epoch"] == 1
    assert results["tested_epoch"] == {"best": 1, "last": 2}[tested]
    final = torch.load(path / "model_final.pt", weights_only=True)["state_dict"]
    states = {
        name: torch.load(path / "checkpoints" / f"{name}.pt", weights_only=True)["model"]
        for name in ("best", "last")
    }
    for name, state in states.items():
        same = all(torch.equal(final[key], state[key]) for key in state)
        assert same == (name == tested)
    validation = results["validation"]["macro"]["f1"]
    tested_record = results["history"][results["tested_epoch"] - 1]
    assert validation == tested_record["validation"]["macro_f1"]
    shown = (path / "report.html").read_text()
    assert f"with the checkpoint of epoch {results['tested_epoch']} (the {tested})," in shown


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures_and_another_seed_does_not(
    trained, train_command, tiny, tmp_path
):
    path, results = run(train_command, tmp_path / "same", *tiny)
    for record, expected in zip(results["history"], read(trained)["history"], strict=True):
        assert record["train"]["loss"] == expected["train"]["loss"]
        assert record["validation"] == expected["validation"]
        assert record["learning_rate"] == expected["learning_rate"]
    first = (path / "predictions.csv").read_text()
    assert first == (trained / "predictions.csv").read_text()
    other = [*tiny, "experiment.seed=7", "training.num_epochs=1"]
    _, results = run(train_command, tmp_path / "other", *other)
    assert results["history"][0]["train"]["loss"] != read(trained)["history"][0]["train"]["loss"]


@pytest.mark.slow
def test_split_of_a_run_can_be_given_back(trained, train_command, tiny, tmp_path):
    overrides = [
        *tiny,
        "data.split_strategy=file",
        f"data.split_file={trained / 'split.csv'}",
        "experiment.seed=99",
        "training.num_epochs=1",
    ]
    again, repeated = run(train_command, tmp_path / "again", *overrides)
    assert (again / "split.csv").read_text() == (trained / "split.csv").read_text()
    assert part_counts(repeated) == part_counts(read(trained))


@pytest.mark.slow
def test_early_stopping_ends_the_training(train_command, tiny, tmp_path, monkeypatch):
    from core.training.classification.task import ClassificationTask

    scores = iter([0.5, 0.4, 0.45, 0.6, 0.7])

    def fixed(self, learner, guard, epoch):
        return {
            "loss": 1.0,
            "macro_f1": next(scores),
            "macro_average_precision": None,
            "macro_auroc": None,
            "per_class_f1": {},
        }

    monkeypatch.setattr(ClassificationTask, "validate", fixed)
    overrides = [*tiny, "training.num_epochs=9", "training.early_stopping_patience=2"]
    _, results = run(train_command, tmp_path / "results", *overrides)
    assert len(results["history"]) == 3
    assert results["best_epoch"] == 1


@pytest.mark.slow
def test_tensorboard_and_training_part(train_command, tiny, tmp_path):
    overrides = [*tiny, "training.trackers=[tensorboard]", "training.evaluate_train_part=true"]
    path, results = run(train_command, tmp_path / "results", *overrides)
    assert list((path / "tensorboard").glob("events.*"))
    assert results["train"]["num_images"] == 42
    assert "train" in set(pd.read_csv(path / "predictions.csv").split)
    log = (path / "train.log").read_text()
    assert "Train part, 42 images" in log
    assert " parameters, focal_loss, float32 on cpu" in log
    assert f"train{results['train']['num_images']:>13}" in log


@pytest.mark.slow
def test_interrupt_keeps_what_was_reached(train_command, tiny, tmp_path, monkeypatch):
    from core.training import trainer

    original = trainer.train_epoch

    def interrupted(learner, *rest):
        if learner.num_updates:
            raise KeyboardInterrupt
        return original(learner, *rest)

    monkeypatch.setattr(trainer, "train_epoch", interrupted)
    ended = train_command(*tiny, f"experiment.results_dir={tmp_path}")
    assert ended.exit_code == 130
    path = only_experiment(tmp_path)
    results = read(path)
    assert results["status"] == "interrupted"
    assert len(results["history"]) == 1
    assert "test" not in results
    assert (path / "checkpoints" / "best.pt").is_file()


@pytest.mark.slow
def test_a_sweep_makes_an_experiment_for_each_job(train_command, tiny, tmp_path):
    ended = train_command(
        "-m",
        *tiny,
        "training.num_epochs=1",
        "loss.type=focal_loss,bce_with_logits",
        "experiment.seed=1,2",
        f"experiment.results_dir={tmp_path}",
    )
    assert ended.exit_code == 0, ended.errors
    results = [json.loads(file.read_text()) for file in tmp_path.glob("*/results.json")]
    chosen = {(r["loss"]["type"], r["experiment"]["seed"]) for r in results}
    assert chosen == {(kind, s) for kind in ("focal_loss", "bce_with_logits") for s in (1, 2)}


@pytest.mark.slow
def test_learned_weights_of_a_compound_loss_are_logged_and_saved(train_command, tiny, tmp_path):
    path, results = run(
        train_command,
        tmp_path / "results",
        *tiny,
        "training.trackers=[tensorboard]",
        "loss.type=compound",
        "loss.components=[{type:bce,weight:0.7},{type:focal,weight:0.3,alpha:0.25,gamma:2}]",
        "loss.learnable_weights=softmax",
    )
    first, second = (record["loss_weights"] for record in results["history"])
    assert sum(first.values()) == pytest.approx(1)
    assert first != second
    assert results["history"][0]["loss_terms"].keys() == first.keys()
    saved = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert any("score" in key or "weight" in key for key in saved["objective"])
    groups = saved["optimizer"]["param_groups"]
    assert groups[-1]["weight_decay"] == 0


@pytest.mark.slow
def test_real_strips_train_end_to_end(severstal_sample, train_command, tmp_path):
    """Every fourth strip of the sample, in full size."""
    root = tmp_path / "strips"
    (root / "train_images").mkdir(parents=True)
    kept = sorted((severstal_sample / "train_images").iterdir())[::4]
    for image in kept:
        (root / "train_images" / image.name).symlink_to(image)
    table = pd.read_csv(severstal_sample / "train.csv")
    table = table[table.ImageId.isin([image.name for image in kept])]
    table.to_csv(root / "train.csv", index=False)
    _, results = run(
        train_command,
        tmp_path / "results",
        f"data.root={root}",
        f"data.cache_dir={tmp_path}",
        "model=timm",
        "model.backbone=test_convnext",
        "model.pretrained=false",
        "training.num_epochs=1",
        "evaluation.bootstrap_resamples=100",
    )
    assert results["data"]["num_images"] == 25
    expected = [int((table.ClassId == number).sum()) for number in (1, 2, 3, 4)]
    assert min(expected) >= 4
    assert list(results["data"]["class_counts"].values()) == expected
