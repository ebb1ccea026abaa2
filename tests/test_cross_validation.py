"""K folds: every image tested once, by a model that never saw it; resumable fold by fold."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from outcomes import read
from sklearn.metrics import f1_score

from core.errors import InputError
from core.running.cross_validation import cross_validate, fold_split


@pytest.fixture(scope="module")
def overrides(tiny) -> list[str]:
    return [*tiny, "training.num_epochs=1", "training.folds=3"]


@pytest.fixture(scope="module")
def finished(completed, overrides) -> Path:
    return completed(*overrides)


def test_parts_of_a_fold_are_disjoint_and_every_image_is_tested_once():
    folds = np.arange(30) % 5
    splits = [fold_split(folds, fold, 5) for fold in range(5)]
    for split in splits:
        assert sorted(np.concatenate(list(split.values()))) == list(range(30))
    assert sorted(np.concatenate([split["test"] for split in splits])) == list(range(30))


@pytest.mark.slow
def test_out_of_fold_figures_cover_every_image(finished):
    results = read(finished)
    assert results["status"] == "completed"
    for path in (finished, finished / "fold_1"):
        assert read(path)["data"]["split"]["strategy"] == "stratified_3_folds"
    table = pd.read_csv(finished / "predictions.csv")
    assert len(table) == results["test"]["num_images"] == 60
    assert table.image_id.is_unique
    for number in (1, 2, 3):
        split = pd.read_csv(finished / f"fold_{number}" / "split.csv")
        tested = set(table[table.fold == number].image_id)
        assert tested == set(split[split.split == "test"].image_id)
        assert not tested & set(split[split.split != "test"].image_id)
    folds = [(finished / f"fold_{n}" / "predictions.csv").read_text().split() for n in (1, 2, 3)]
    rows = [f"{row},{n}" for n, fold in enumerate(folds, 1) for row in fold if ",test," in row]
    written = "\n".join([f"{folds[0][0]},fold", *sorted(rows), ""])
    assert (finished / "predictions.csv").read_bytes() == written.encode()
    labels, probabilities = table.label_defect_3, table.probability_defect_3
    assert results["test"]["per_class"]["defect_3"]["f1"] == pytest.approx(
        f1_score(labels, probabilities >= 0.5, zero_division=0)
    )
    scores = [fold["test"]["auroc"] for fold in results["folds"]]
    assert results["spread"]["auroc"]["mean"] == pytest.approx(np.mean(scores))
    assert results["spread"]["auroc"]["standard_deviation"] == pytest.approx(np.std(scores, ddof=1))
    errors = pd.read_csv(finished / "label_errors.csv")
    assert set(errors.image_id) == set(table.image_id)
    assert errors.disagreement.is_monotonic_decreasing
    assert (finished / "label_errors.csv").read_text() == errors.to_csv(index=False)


@pytest.mark.slow
def test_resume_trains_only_what_is_missing_and_ends_the_same(
    finished, train_command, overrides, tmp_path
):
    begun = Path(shutil.copytree(finished, tmp_path / "begun"))
    shutil.rmtree(begun / "fold_3")
    kept = (begun / "fold_1" / "train.log").stat().st_mtime_ns
    for path in (begun / "fold_2", begun):
        broken = read(path)
        broken["status"] = "interrupted"
        (path / "results.json").write_text(json.dumps(broken))
    refused = train_command(f"resume={begun}", "training.num_epochs=2")
    assert refused.exit_code == 2
    assert "training.num_epochs was 1, is 2" in refused.errors
    refused = train_command(f"resume={begun / 'fold_2'}")
    assert refused.exit_code == 2
    assert f"is one fold of {begun}" in refused.errors
    ended = train_command(*overrides, f"resume={begun}")
    assert ended.exit_code == 0, ended.errors
    assert (begun / "fold_1" / "train.log").stat().st_mtime_ns == kept
    again = read(begun)
    assert again["status"] == "completed"
    assert again["test"] == read(finished)["test"]
    assert len(again["experiment"]["resumed_at"]) == 1
    refused = train_command(f"resume={begun}")
    assert refused.exit_code == 2
    assert "is completed" in refused.errors


@pytest.mark.slow
def test_a_begun_fold_goes_on_from_its_last_checkpoint(
    finished, train_command, tmp_path, monkeypatch
):
    begun = Path(shutil.copytree(finished, tmp_path / "begun"))
    for path in (begun / "fold_3", begun):
        broken = read(path)
        broken["status"] = "running"
        (path / "results.json").write_text(json.dumps(broken))
    monkeypatch.setattr("core.training.trainer.train_epoch", None)  # there is no epoch left to run
    ended = train_command(f"resume={begun}")
    assert ended.exit_code == 0, ended.errors
    assert read(begun)["test"] == read(finished)["test"]
    assert read(begun / "fold_3")["experiment"]["resumed_at"][0]["epoch"] == 2


@pytest.mark.slow
def test_a_copy_of_one_fold_goes_on_by_itself(finished, train_command, tmp_path, monkeypatch):
    copied = Path(shutil.copytree(finished / "fold_3", tmp_path / "copied"))
    (copied / "results.json").write_text(json.dumps({**read(copied), "status": "running"}))
    split = (copied / "split.csv").rename(tmp_path / "split.csv")
    refused = train_command(f"resume={copied}")
    assert refused.exit_code == 2
    assert "split.csv: is missing" in refused.errors
    split.rename(copied / "split.csv")
    monkeypatch.setattr("core.training.trainer.train_epoch", None)  # there is no epoch left to run
    ended = train_command(f"resume={copied}")
    assert ended.exit_code == 0, ended.errors
    assert read(copied)["test"] == read(finished / "fold_3")["test"]
    assert not list(copied.glob("fold_*"))


@pytest.mark.parametrize("strategy", ["stratified_80_10_10", "file"])
def test_a_split_that_folds_would_not_use_is_refused(compose, overrides, strategy):
    config = compose(*overrides, f"data.split_strategy={strategy}")
    with pytest.raises(InputError, match=rf"data\.split_strategy={strategy} would not be used"):
        cross_validate(config)


@pytest.mark.slow
def test_flips_on_purpose_are_listed_and_looked_for(completed, overrides):
    path = completed(*overrides, "data.label_noise=0.1")
    flipped = set(pd.read_csv(path / "flipped_labels.csv").image_id)
    assert len(flipped) == 6
    first = pd.read_csv(path / "label_errors.csv").image_id[:6]
    found = sum(first.isin(flipped))
    assert read(path)["label_errors"] == {
        "num_flipped": 6,
        "num_found": found,
        "num_examined": 6,
        "share_found": found / 6,
    }
