"""Spaces of settings: what their files may hold, and the config of each trial."""

import cv2
import numpy as np
import pytest

from core.command.config import fill_config_store
from core.command.help import store_help
from core.errors import InputError
from core.search.command import check_command
from core.search.composition import SearchConfig, check_search, composed
from core.search.searching import Search
from core.search.settings import SearchSettings
from core.search.space import SPACES, Choices, read_space

optuna = pytest.importorskip("optuna")
SLIM = ["model=resnet10_slim", "data=synthetic"]


@pytest.fixture(scope="module")
def base():
    fill_config_store()
    store_help()
    return composed(SLIM)


@pytest.fixture
def space_of(tmp_path):
    def write(text: str):
        (tmp_path / "own.yaml").write_text(text)
        return read_space(str(tmp_path / "own.yaml"))

    return write


@pytest.fixture
def checked(space_of, base):
    def check(text: str) -> SearchConfig:
        config = SearchConfig(space_of(text), SearchSettings(), tuple(SLIM), base)
        check_search(config)
        return config

    return check


@pytest.mark.parametrize("name", sorted(path.stem for path in SPACES.glob("*.yaml")))
def test_every_space_of_the_project_fits_the_config(name, base):
    check_search(SearchConfig(read_space(name), SearchSettings(), tuple(SLIM), base))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.learning_rate: {log: [1e-5]}", "expected a list of two or more"),
        ("training.learning_rate: {log: [1e-2, 1e-5]}", "expected two numbers, low first"),
        ("training.learning_rate: {log: [0, 1e-5]}", "expected numbers above 0"),
        ("training.learning_rate: {logg: [1e-5, 1e-2]}", "did you mean 'log'"),
        ("training.learning_rate: 3", "expected {log: [LOW, HIGH]}"),
        ("training.num_epochs: {range: [1.5, 3]}", "expected whole numbers"),
        ("loss.type: {choices: [focal_loss, focal_loss]}", "expected each value once"),
        ("[]", "holds no keys"),
    ],
)
def test_a_parameter_that_is_none_of_the_kinds_is_refused(space_of, text, message):
    with pytest.raises(InputError, match=r"own\.yaml") as refused:
        space_of(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.learing_rate: {log: [1e-5, 1e-2]}", "did you mean 'learning_rate'"),
        ("learning_rate: {log: [1e-5, 1e-2]}", "did you mean 'training.learning_rate'"),
        ("training.learning_rate: {range: [-1, 1]}", "greater than 0"),
        ("loss.type: {choices: [focal_loss, bce_with_logit]}", "did you mean 'bce_with_logits'"),
        ("loss.gama: {range: [0, 3]}", "did you mean 'gamma'"),
        (
            "loss.type: {choices: [focal_loss, bce_with_logits]}\nloss.smooth: {range: [0, 3]}",
            "only",
        ),
        ("experiment.seed: {range: [1, 9]}", "cannot be searched"),
        ("data.split_strategy: {choices: [a, b]}", "on the same images"),
        ("training.folds: {range: [3, 5]}", "on the same images"),
        ("model.name: {choices: [resnet10_slim, resnet50]}", "leave it out of the command"),
    ],
)
def test_a_key_or_value_that_cannot_be_trained_is_refused(checked, text, message):
    with pytest.raises(InputError) as refused:
        checked(text)
    assert message in str(refused.value)


def test_values_are_those_of_a_command_line(checked):
    config = checked(
        "training.num_epochs: {log: [2, 40]}\n"
        "training.ema_decay: {choices: [null, 0.9]}\n"
        "data.resize: {choices: [[32, 160], [64, 320]]}\n"
        "training.weight_decay: {range: [0, 1]}\n"
    )
    trial = optuna.trial.FixedTrial(
        {
            "training.num_epochs": 7,
            "training.ema_decay": "null",
            "data.resize": "[32,160]",
            "training.weight_decay": 0.123456789,
        }
    )
    values = config.space.suggest(trial, config.chosen)
    trained = config.compose(values)
    assert (trained.training.num_epochs, trained.training.ema_decay) == (7, None)
    assert trained.data.resize == (32, 160)
    assert trained.training.weight_decay == 0.123457


def test_a_key_is_left_out_of_trials_whose_component_lacks_it(checked):
    config = checked(
        "loss.gamma: {range: [0.0, 4]}\nloss.type: {choices: [focal_loss, bce_with_logits]}"
    )
    assert list(config.space.parameters) == ["loss.type", "loss.gamma"]
    drawn = {"loss.type": "focal_loss", "loss.gamma": 1.5}
    values = config.space.suggest(optuna.trial.FixedTrial(drawn), config.chosen)
    assert config.compose(values).loss["gamma"] == 1.5
    drawn["loss.type"] = "bce_with_logits"
    values = config.space.suggest(optuna.trial.FixedTrial(drawn), config.chosen)
    assert values == {"loss.type": "bce_with_logits"}


def test_another_space_or_config_is_another_study_and_another_machine_is_not(checked, base):
    def name(text: str, *overrides: str, fingerprint: str = "data") -> str:
        config = checked(text)
        other = composed([*SLIM, *overrides])
        return SearchConfig(config.space, SearchSettings(), (), other).study_name(
            fingerprint, ["data.root", "runtime.device"]
        )

    wide = "training.learning_rate: {log: [1e-5, 1e-2]}"
    names = {
        name(wide),
        name("training.learning_rate: {log: [1e-5, 1e-3]}"),
        name(wide, "training.num_epochs=7"),
        name(wide, fingerprint="other data"),
    }
    assert len(names) == 4
    assert name(wide, "data.root=/elsewhere", "runtime.device=cpu") == name(wide)
    assert name(wide).startswith("own_")


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("data.resize: {choices: [[64, 64], [96, 64]]}", []),
        ("data.resize: {choices: [[64, 64], auto]}", ["data.resize_mode=letterbox"]),
        ("data.resize_mode: {choices: [stretch, letterbox]}", ["data.resize=[64,64]"]),
        (
            "data.resize_mode: {choices: [letterbox, stretch]}\n"
            "data.resize: {choices: [[64, 64], [96, 64]]}",
            [],
        ),
    ],
)
def test_images_of_several_sizes_may_be_searched_for_their_size(tmp_path, space, words):
    (tmp_path / "own.yaml").write_text(space)
    (tmp_path / "images").mkdir()
    for number in range(3):
        image = np.full((70 + number, 90), 100 + number, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
    (tmp_path / "labels.csv").write_text("ImageId,pit\n0.png,1\n1.png,0\n2.png,1\n")
    where = [f"data.root={tmp_path}", f"experiment.results_dir={tmp_path / 'results'}"]
    config = check_command([f"space={tmp_path / 'own.yaml'}", SLIM[0], *where, *words])
    assert Search(config).folder.is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give space=NAME"),
        (["space=smal"], "did you mean 'small'"),
        (["space=small", "search.num_trial=3"], "did you mean 'num_trials'"),
        (["space=small", "search.num_trials=0"], "greater than or equal to 1"),
        (["space=small", "resume=latest"], "the same command goes on"),
        (["space=small", "-m"], "expected key=value"),
        (["space=small", "loss.type=focal_loss,dice_loss"], "expected one value: those to try"),
        (["space=small", "search.num_trials=1,2"], "search.num_trials=1,2: expected one value"),
        (["space=small", "search=5"], "search=5: expected search.KEY=VALUE; known keys: num_tr"),
        (["space=small", "training.folds=3"], "one training on one device"),
        (["space=small", "training.learning_rate=1"], "leave it out of the command"),
        (["space=small", "training.num_epoch=1"], "did you mean 'num_epochs'"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(words, message):
    with pytest.raises(InputError) as refused:
        check_command(words)
    assert message in str(refused.value)


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("core.search.command.is_installed", lambda name: False)
    with pytest.raises(InputError, match=r"pip install optuna=="):
        check_command(["space=small"])


def test_the_storage_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DATABASE", "sqlite:///somewhere")
    config = check_command(["space=small", *SLIM, "search.storage=${oc.env:DATABASE}"])
    assert config.search.storage == "sqlite:///somewhere"
    assert isinstance(config.space.parameters["loss.type"], Choices)
