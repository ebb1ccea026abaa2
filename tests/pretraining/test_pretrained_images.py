"""A training is not tested on images that its encoder was pretrained on, unless that was wanted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pretraining_runs import SIZE, composed, write_labelled, write_strips

from core.analysis.model_card import write_model_card
from core.errors import InputError
from core.files.same_content import same_content
from core.pretraining.composition import pretrain
from core.running.loading import choose_split, read_data
from core.running.pretrained_images import check_unseen, record_of_seen

OTHER_SEED = "experiment.seed=7"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def encoder_of(tmp_path_factory):
    """The encoder of a pretraining of one epoch."""

    def run(*words) -> Path:
        where = tmp_path_factory.mktemp("results")
        more = [f"experiment.results_dir={where}", "training.num_epochs=1"]
        pretrain(composed(*words, *more))
        return next(where.glob("*/encoder.safetensors"))

    return run


@pytest.fixture(scope="module")
def encoder(labelled, encoder_of) -> Path:
    return encoder_of(f"data.root={labelled}")


@pytest.fixture
def words(labelled, tmp_path) -> list[str]:
    """A training on the labelled strips, without the weights that it starts from."""
    return [
        f"data.root={labelled}", f"data.image_size=[{SIZE[0]},{SIZE[1]}]", "model=timm",
        "model.backbone=test_resnet", "model.pretrained=false", "training.num_epochs=1",
        "evaluation.bootstrap_resamples=100", "runtime.precision=float32",
        f"experiment.results_dir={tmp_path / 'trained'}",
    ]  # fmt: skip


@pytest.fixture
def check(compose, words):
    """Check the training that these further words make; return its held-out images."""

    def run(*more) -> list[str]:
        config = compose(*words, *map(str, more))
        table = (data := read_data(config.data)).table
        split = choose_split(config, data)
        check_unseen(config, table, [split])
        return [table.image_ids[row] for row in (*split["validation"], *split["test"])]

    return run


def refusal(check, *more) -> str:
    with pytest.raises(InputError, match=r"^model\.weights=.*: was pretrained on") as caught:
        check(*more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_split_of_the_pretraining_is_taken_and_another_is_refused(encoder, check):
    own = check(f"model.weights={encoder}")
    other = check(OTHER_SEED)
    both = len(set(other) - set(own))
    split_file = encoder.parent / "split.csv"
    message = refusal(check, f"model.weights={encoder}", OTHER_SEED)
    assert f"was pretrained on {both} images of the validation or test part, such as" in message
    assert f"data.split_file={split_file}" in message
    remedy = ["data.split_strategy=file", f"data.split_file={split_file}"]
    assert check(f"model.weights={encoder}", OTHER_SEED, *remedy) == own


def test_images_whose_labels_were_corrected_are_found_by_their_content(encoder, check, labelled):
    table = labelled / "labels.csv"
    before = table.read_text()
    try:
        table.write_text(before.replace("strip_001.jpg,0,1", "strip_001.jpg,1,1"))
        assert "validation or test part" in refusal(check, f"model.weights={encoder}", OTHER_SEED)
    finally:
        table.write_text(before)


def test_of_a_file_on_its_own_only_a_warning_says_what_is_not_known(
    encoder, check, tmp_path, labelled, caplog
):
    alone = shutil.copy(encoder, tmp_path / "encoder.safetensors")
    check(f"model.weights={alone}", OTHER_SEED)
    assert "was pretrained on images of data.root" in caplog.text
    (tmp_path / "results.json").write_text("{")
    check(f"model.weights={alone}", OTHER_SEED)
    caplog.clear()
    other = write_labelled(tmp_path / "other", 41)
    check(f"model.weights={alone}", f"data.root={other}")
    assert "was pretrained on" not in caplog.text


def test_a_test_image_in_a_folder_without_labels(encoder_of, check, labelled, tmp_path, caplog):
    folder = write_strips(tmp_path / "strips", range(100, 110))
    held_out = check()[-1]
    foreign = encoder_of(f"data.unlabelled={folder}")
    check(f"model.weights={foreign}")
    shutil.copy(labelled / "images" / held_out, folder / "another_name.jpg")
    message = refusal(check, f"model.weights={foreign}")
    assert f"1 image of the validation or test part, such as {held_out}: pretrain on" in message
    shutil.rmtree(folder)
    check(f"model.weights={foreign}")
    assert f"{folder}, which is not there any more: whether validation or test" in caplog.text


def test_a_folder_is_found_from_another_one(encoder_of, check, labelled, tmp_path, monkeypatch):
    folder = write_strips(tmp_path / "strips", range(100, 110))
    shutil.copy(labelled / "images" / check()[-1], folder)
    monkeypatch.chdir(tmp_path)
    foreign = encoder_of("data.unlabelled=strips")
    monkeypatch.chdir(labelled)
    refusal(check, f"model.weights={foreign}")


@pytest.mark.slow
def test_what_an_earlier_pretraining_saw_is_not_forgotten(
    encoder_of, check, labelled, compose, words
):
    first = encoder_of(f"data.root={labelled}", OTHER_SEED)
    second = encoder_of(f"data.root={labelled}", f"model.weights={first}")
    refusal(check, f"model.weights={second}")
    first = encoder_of(f"data.root={labelled}", "data.allow_all=true")
    second = encoder_of(f"data.root={labelled}", f"model.weights={first}")
    config = compose(*words, f"model.weights={second}")
    table = (data := read_data(config.data)).table
    split = choose_split(config, data)
    check_unseen(config, table, [split])
    assert record_of_seen(config, table, split) == {"held_out_images_seen": len(split["test"])}


def test_the_command_refuses_in_one_line_and_leaves_nothing(
    encoder, train_command, words, tmp_path
):
    more = [f"model.weights={encoder}", OTHER_SEED]
    for given in (more, [*more[:1], "training.folds=3"]):
        ended = train_command(*words, *given)
        assert ended.exit_code == 2
        assert ended.errors.count("\n") == 1
        assert "was pretrained on" in ended.errors
    assert not (tmp_path / "trained").exists()


@pytest.mark.slow
def test_what_was_wanted_is_recorded_and_reported(
    labelled, encoder_of, train_command, words, tmp_path
):
    encoder = encoder_of(f"data.root={labelled}", "data.allow_all=true")
    ended = train_command(*words, f"model.weights={encoder}")
    assert ended.exit_code == 0, ended.errors
    (path,) = (tmp_path / "trained").iterdir()
    results = json.loads((path / "results.json").read_text())
    seen = results["model"]["initial_weights"]["held_out_images_seen"]
    assert seen == results["data"]["split"]["parts"]["test"]["num_images"]
    warning = f"data.allow_all=true on {seen} images of the validation or test part"
    assert warning in (path / "train.log").read_text()
    assert f"on {seen} images of the validation and test part" in (
        write_model_card(path).read_text()
    )


def test_the_same_content_is_found_under_another_name(tmp_path):
    contents = {"a": b"one", "b": b"two", "c": b"longer", "d": b"two"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in "acd"]
    assert list(same_content(paths, [tmp_path / "b"])) == [(tmp_path / "d", tmp_path / "b")]
    assert not list(same_content(paths, []))
    assert np.array_equal(list(same_content(paths[:1], paths)), [(paths[0], paths[0])])
