"""Masks from the data to results.json, and what is refused before anything is made."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from outcomes import read

from core.data.mask_targets import max_pooled
from core.errors import InputError
from core.predicting.trained_model import TrainedModel
from core.running.composition import build, train
from core.running.cross_validation import cross_validate
from core.running.loading import choose_split, read_data
from core.running.mask_supervision import check_mask_keys

HEAD = ["model.mask_head=true", "model.mask_head_width=8"]
BOUNDARY = (
    "mask_loss.components="
    "[{type:focal,reduction:positives},{type:tversky,weight:0.5},{type:boundary,weight:0.1}]"
)


@pytest.fixture(scope="module")
def labels_only(tmp_path_factory) -> list[str]:
    """Overrides of a data set without masks."""
    folder = tmp_path_factory.mktemp("labels_only")
    (folder / "images").mkdir()
    rows = ["ImageId,defect_1,defect_2,defect_3,defect_4"]
    generator = np.random.default_rng(0)
    for number in range(40):
        cv2.imwrite(
            str(folder / "images" / f"{number}.jpg"),
            generator.integers(60, 200, (32, 64)).astype(np.uint8),
        )
        rows.append(f"{number}.jpg," + ",".join(str(number >> c & 1) for c in range(4)))
    (folder / "labels.csv").write_text("\n".join(rows))
    return ["data=severstal", f"data.root={folder}", "data.group_duplicates=false"]


def parts_of(config):
    data = read_data(config.data)
    return build(config, data, choose_split(config, data))


@pytest.mark.slow
def test_a_training_with_masks_reports_both_terms_and_where(completed, tiny):
    path = completed(
        *tiny, *HEAD, "mask_loss.type=compound", BOUNDARY, "training.evaluate_train_part=true",
        "training.tested_epoch=last",
    )  # fmt: skip
    results = read(path)
    assert results["status"] == "completed"
    terms = results["history"][-1]["loss_terms"]
    assert terms["image_labels"]["raw"] + terms["masks"]["raw"] == pytest.approx(
        results["history"][-1]["train"]["loss"], rel=1e-4
    )
    assert {"masks/focal_loss", "masks/tversky_loss", "masks/boundary_loss"} <= set(terms)
    assert results["mask_loss"]["params"]["components"][0]["alpha_source"] == "train_split_masks"
    for part in ("train", "validation", "test"):
        figures = results[part]["localization"]
        assert figures["num_images"] == results[part]["num_images"]
        supports = [results[part]["per_class"][name]["support"] for name in figures["per_class"]]
        found = [values["num_with_mask"] for values in figures["per_class"].values()]
        assert found == supports
    examples = json.loads((path / "masks" / "examples.json").read_text())
    assert {entry["class_name"] for entry in examples} == set(figures["per_class"])
    for entry in examples:
        truth = cv2.imread(str(path / "masks" / entry["truth"]), cv2.IMREAD_GRAYSCALE)
        predicted = cv2.imread(str(path / "masks" / entry["predicted"]), cv2.IMREAD_GRAYSCALE)
        assert truth.shape == (32, 64)
        assert predicted.shape == (8, 16)
        assert truth.any()
    report = (path / "report.html").read_text()
    assert "peak" in report
    mistakes = json.loads((path / "masks" / "mistakes.json").read_text())
    assert mistakes
    for entry in mistakes:
        assert f"<code>{entry['image_id']}</code>" in report
        predicted = cv2.imread(str(path / "masks" / entry["predicted"]), cv2.IMREAD_GRAYSCALE)
        assert predicted.shape == (8, 16)


def test_without_a_mask_head_true_masks_of_mistakes_are_kept(trained):
    mistakes = json.loads((trained / "masks" / "mistakes.json").read_text())
    assert mistakes
    table = pd.read_csv(trained / "predictions.csv").set_index("image_id")
    for entry in mistakes:
        truth = cv2.imread(str(trained / "masks" / entry["truth"]), cv2.IMREAD_GRAYSCALE)
        labels = table.loc[entry["image_id"]].filter(like="label_")
        assert truth.any() == labels.any()
        assert "predicted" not in entry


def test_a_learnt_mask_loss_is_trained_with_the_model(compose, tiny):
    weights = ["mask_loss.type=compound", BOUNDARY.replace(",{type:boundary,weight:0.1}", "")]
    parts = parts_of(compose(*tiny, *HEAD, *weights, "mask_loss.learnable_weights=softmax"))
    own = {id(p) for p in parts.learner.objective.parameters() if p.requires_grad}
    trained = {id(p) for group in parts.learner.optimizer.param_groups for p in group["params"]}
    assert own
    assert own <= trained


def test_known_masks_are_the_share_asked_for(compose, tiny):
    share = [*HEAD, "mask_loss=dice_loss", "data.mask_fraction=0.25"]
    loaders = parts_of(compose(*tiny, *share)).task.loaders
    images = [sample for batch in loaders["train"] for sample in batch["has_masks"].tolist()]
    assert 0 < sum(images) < 0.6 * len(images)
    for batch in loaders["train"]:
        assert (batch["mask_targets"][~batch["has_masks"]] == 0).all()
    assert all(batch["has_masks"].all() for batch in loaders["validation"])


def test_a_mask_does_not_tell_of_a_flipped_label(compose, tiny):
    noise = [*HEAD, "mask_loss=dice_loss", "data.label_noise=0.3"]
    dataset = parts_of(compose(*tiny, *noise)).task.loaders["train"].dataset
    clean = read_data(compose(*tiny).data).table.labels
    flipped = (dataset.table.labels != clean).any(axis=1)
    assert dataset.masks.known[dataset.indices].tolist() == (~flipped[dataset.indices]).tolist()
    assert 0 < flipped[dataset.indices].sum() < len(dataset)


def test_masks_that_are_not_known_do_not_reach_the_bias(compose, tiny):
    share = [*HEAD, "mask_loss=dice_loss"]
    all_known = parts_of(compose(*tiny, *share)).learner.model.mask_head.log_odds
    few_known = parts_of(compose(*tiny, *share, "data.mask_fraction=0.1"))
    dataset = few_known.task.loaders["train"].dataset
    known = np.flatnonzero(dataset.masks.known)
    assert set(known) <= set(few_known.split["train"])
    masks = [max_pooled(dataset.table.masks[int(index)], 4).mean(axis=(1, 2)) for index in known]
    shares = torch.from_numpy(np.mean(masks, axis=0)).clamp(1e-4, 1 - 1e-4)
    log_odds = few_known.learner.model.mask_head.log_odds
    torch.testing.assert_close(log_odds, shares.logit().float())
    assert not torch.equal(log_odds, all_known)


def test_data_without_masks_train_without_the_head_and_say_so(compose, tiny, labels_only, caplog):
    with caplog.at_level(logging.WARNING):
        parts = parts_of(compose(*tiny, *HEAD, *labels_only))
    assert "trained without the mask head" in caplog.text
    assert parts.learner.model.mask_head is None
    assert "masks" not in next(iter(parts.task.loaders["test"]))


@pytest.mark.slow
def test_model_final_says_that_the_head_was_left_out(completed, tiny, labels_only):
    path = completed(*tiny, *HEAD, *labels_only, "training.num_epochs=1")
    content = torch.load(path / "model_final.pt", weights_only=True)
    assert (content["model"]["mask_head"], content["model"]["fusion"]) == (False, None)
    assert not any(key.startswith("mask_head.") for key in content["state_dict"])
    # What was asked for stands in results.json, and is read back all the same.
    assert read(path)["config"]["model"]["mask_head"]
    assert TrainedModel(path).model.mask_head is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.mask_head=false", "mask_loss=dice_loss"], "model.mask_head=true"),
        (["model.fusion=false"], "nothing would train the mask head"),
        (["data.mask_fraction=0.5"], "no loss reads masks"),
        (["mask_loss=dice_loss", "mask_loss.weight=-1"], r"mask_loss\.weight=-1"),
        (["mask_loss=focal_loss", "mask_loss.reduction=none"], r"mask_loss\.reduction"),
        (
            ["mask_loss=focal_loss", "loss.reduction=sum", "training.accumulation_steps=2"],
            "cannot weigh batches",
        ),
        (
            [
                "mask_loss=compound",
                "mask_loss.components=[{type:bce,reduction:sum}]",
                "training.accumulation_steps=2",
            ],
            "cannot weigh batches",
        ),
        (
            [
                "loss=compound",
                "loss.components=[{type:bce,weight_step:-0.5},{type:focal,weight:0}]",
                "training.num_epochs=3",
                "model.mask_head=false",
            ],
            "in epoch 3 the weight of every component",
        ),
        (
            [
                "loss=compound",
                "loss.components=[{type:bce,weight:0,weight_step:0.1}]",
                "model.mask_head=false",
            ],
            "in epoch 1 the weight of every component",
        ),
        (["mask_loss=dice_loss", "data.mask_fraction=0"], "leaves none of the"),
        (["mask_loss=dice_loss", "+mask_loss.smoth=2"], "did you mean 'smooth'"),
    ],
)
def test_what_does_not_fit_is_refused(compose, tiny, overrides, message):
    with pytest.raises(InputError, match=message):
        parts_of(compose(*tiny, *HEAD, *overrides))


def test_a_mask_loss_without_masks_is_refused(compose, tiny, labels_only):
    with pytest.raises(InputError, match="image-level labels only"):
        parts_of(compose(*tiny, *HEAD, *labels_only, "mask_loss=dice_loss"))


def test_masks_that_may_be_missing_are_refused_where_there_are_none(compose, tiny, labels_only):
    config = compose(*tiny, *labels_only, "data.missing_masks=ignore", "training.folds=3")
    for run in (train, cross_validate):
        with pytest.raises(InputError, match=r"data\.missing_masks=ignore: has no effect"):
            run(config)


def test_masks_and_images_turn_together(compose, tiny):
    """A strip whose defects are painted by their mask: flips and turns must move both alike."""
    parts = parts_of(compose(*tiny, *HEAD, "mask_loss=dice_loss"))
    dataset = parts.task.loaders["train"].dataset
    table = dataset.table
    position = int(np.argmax(table.labels[dataset.indices].any(axis=1)))
    index = int(dataset.indices[position])
    masks = table.masks[index]
    painted, labels = masks.max(axis=0) * 255, np.float32(table.labels[index])
    for epoch in range(12):
        image, turned, _ = parts.pipeline(painted, masks, labels, epoch=epoch, index=index)
        agreement = ((image > 127) == (turned.max(axis=0) > 0)).mean()
        assert agreement > 0.98


@pytest.mark.slow
def test_the_mask_head_is_kept_with_the_model(completed, tiny):
    path = completed(*tiny, *HEAD, "training.num_epochs=1")
    content = torch.load(path / "model_final.pt", weights_only=True)
    assert "mask_head.classifier.weight" in content["state_dict"]
    assert "fusion.gain" in content["state_dict"]


@pytest.fixture(scope="module")
def some_masks_missing(trained, tmp_path_factory):
    """Overrides of the tiny strips whose first three strips of defect_1 lack that mask."""
    folder, source = tmp_path_factory.mktemp("missing_masks"), Path(read(trained)["data"]["root"])
    (folder / "train_images").symlink_to(source / "train_images")
    masks = pd.read_csv(source / "train.csv")
    labels = pd.crosstab(masks.ImageId, masks.ClassId).reindex(
        sorted(path.name for path in (source / "train_images").iterdir()), fill_value=0
    )
    labels.columns = [f"defect_{number}" for number in labels.columns]
    labels.to_csv(folder / "labels.csv")
    lacking = masks.index[masks.ClassId == 1][:3]
    masks.drop(lacking).to_csv(folder / "train.csv", index=False)
    images = sorted(masks.ImageId[lacking])
    return images, ["data=severstal", f"data.root={folder}", "data.missing_masks=ignore"]


def test_images_with_a_missing_mask_train_their_labels_and_are_left_out_of_scores(
    completed, tiny, some_masks_missing
):
    images, overrides = some_masks_missing
    path = completed(
        *tiny, *overrides, *HEAD, "mask_loss=dice_loss", "training.evaluate_train_part=true",
        "augmentation.blackout.probability=0.5", "training.num_epochs=1",
    )  # fmt: skip
    results = read(path)
    listed = results["data"]["missing_masks"]
    assert listed == [{"image_id": name, "class_names": ["defect_1"]} for name in images]
    split = pd.read_csv(path / "split.csv").set_index("image_id").split
    for part in ("train", "validation", "test"):
        scored, lacking = results[part]["localization"], int((split[images] == part).sum())
        assert scored["num_images"] == results[part]["num_images"] - lacking
        support = results[part]["per_class"]["defect_1"]["support"]
        assert scored["per_class"]["defect_1"]["num_with_mask"] == support - lacking


def test_an_image_with_a_missing_mask_adds_nothing_to_the_mask_term(
    compose, tiny, some_masks_missing
):
    images, overrides = some_masks_missing
    parts = parts_of(compose(*tiny, *overrides, *HEAD, "mask_loss=dice_loss"))
    dataset = parts.task.loaders["train"].dataset
    known = {
        image_id
        for batch in parts.task.loaders["train"]
        for image_id, has in zip(batch["image_id"], batch["has_masks"].tolist(), strict=True)
        if has
    }
    trained = {dataset.table.image_ids[index] for index in dataset.indices}
    assert known == trained - set(images)
    assert trained & set(images)


def test_a_resize_that_erases_every_mask_of_a_class_is_refused_where_masks_are_used(
    compose, some_masks_missing, tiny, tmp_path
):
    root = Path(next(each for each in some_masks_missing[1] if "root" in each).partition("=")[2])
    masks = pd.read_csv(root / "train.csv")
    masks.loc[masks.ClassId == 1, "EncodedPixels"] = "1 1"  # the corner, which is not kept
    masks.to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "train_images").symlink_to(root / "train_images")
    data = [*tiny, "data=severstal", f"data.root={tmp_path}", "data.resize=[32,32]"]
    parts_of(compose(*data))
    with pytest.raises(
        InputError, match=r"data\.resize=\[32,32\]: would erase each of .* defect_1"
    ):
        parts_of(compose(*data, *HEAD))


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ({"mask_head": False}, "give model.mask_head=true as well"),
        ({}, "choose a network of timm's"),
    ],
)
def test_a_mask_loss_without_a_mask_head_is_told_what_there_is(model, remedy, compose, tiny):
    config = replace(
        compose(*tiny), model={"name": "own", **model}, mask_loss={"type": "dice_loss"}
    )
    with pytest.raises(InputError, match=rf"mask_loss.type=dice_loss: .*{remedy}"):
        check_mask_keys(config)
