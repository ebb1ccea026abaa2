"""`auto` is measured by steps that change nothing, remembered, recorded, and kept by a resume."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from outcomes import differences, outcome, plain, read

from core.autotuning import budget
from core.running import autotuning, step_trial
from core.running.autotuning import choose
from core.running.composition import build
from core.running.computation import Computation, step_contenders
from core.running.loader_trial import reading_with, workers_contest
from core.running.loading import choose_split, read_data
from core.running.step_trial import StepTrial

CPU = torch.device("cpu")
LAYOUTS = ["float32, NCHW", "float32, channels last"]


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def enough_time(own_cache, monkeypatch):
    """Even a tiny training is measured."""
    monkeypatch.setattr(budget, "SHARE", 1000.0)
    monkeypatch.setattr(budget, "SHORTEST_SECONDS", 0.0)


@pytest.fixture
def layout_wins(monkeypatch) -> Callable[[bool], list]:
    """Steps are computed, and their seconds are such that a layout wins; returns their list."""

    def say(channels_last: bool) -> list[bool]:
        turns = []

        def seconds_of(work, device):
            work()
            weight = next(p for p in work.args[0].parameters() if p.ndim == 4 and p.shape[1] > 1)
            turns.append(weight.is_contiguous(memory_format=torch.channels_last))
            return 1.0 if turns[-1] == channels_last else 2.0

        monkeypatch.setattr(step_trial, "seconds_of", seconds_of)
        return turns

    return say


@pytest.fixture
def set_up(compose, tiny) -> Callable:
    """The config with these overrides, and what is built from it."""

    def make(*overrides: str):
        names = ("model=", "model.backbone=")
        others = [each for each in tiny if not each.startswith(names)]
        named = any(each.startswith("model.name=") for each in overrides)
        config = compose(*(others if named else tiny), *overrides)
        data = read_data(config.data)
        return config, build(config, data, choose_split(config, data))

    yield make
    torch.use_deterministic_algorithms(False)


def test_a_training_too_short_for_a_trial_takes_the_defaults(trained):
    computation = read(trained)["computation"]
    assert computation["channels_last"] is False
    assert computation["depthwise_gradient"] == "torch"
    choice = computation["choice"]
    assert choice["source"] == "not measured"
    assert choice["keys"] == ["channels_last", "depthwise_gradient"]
    assert "more than 5% of the" in choice["reason"]


@pytest.mark.slow
def test_what_wins_is_trained_remembered_and_kept_by_a_resume(
    enough_time, layout_wins, interrupt, uninterrupted, train_command, tmp_path
):
    turns = layout_wins(True)
    path = interrupt(steps=9)
    measured = read(path)["computation"]
    assert measured["channels_last"] is True
    assert measured["choice"]["source"] == "measured"
    assert list(measured["choice"]["seconds_per_image"]) == LAYOUTS
    assert read(path)["config"]["runtime"]["channels_last"] == "auto"
    assert turns
    turns = layout_wins(False)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not turns
    assert read(path)["computation"] == measured
    assert not differences(outcome(uninterrupted("runtime.channels_last=true")), outcome(path))


@pytest.mark.slow
def test_the_same_command_chooses_the_same_again(
    enough_time, layout_wins, train_command, tiny, tmp_path, monkeypatch
):
    def computation(name: str) -> dict:
        results_dir = f"experiment.results_dir={tmp_path / name}"
        ended = train_command(*tiny, "training.num_epochs=1", "training.folds=3", results_dir)
        assert ended.exit_code == 0, ended.errors
        folds = [read(path.parent) for path in (tmp_path / name).rglob("fold_*/results.json")]
        assert len(folds) == 3
        first, *others = [results["computation"] for results in folds]
        assert others == [first] * 2
        return first

    turns = layout_wins(True)
    measured = computation("first")
    assert measured["channels_last"] is True
    assert measured["choice"]["source"] == "measured"
    assert len(turns) < 20  # one trial, not one for each fold
    turns = layout_wins(False)
    again = computation("second")
    assert not turns
    assert again == {**measured, "choice": {**measured["choice"], "source": "remembered"}}


def test_a_trial_changes_nothing(enough_time, set_up):
    """A real one: which layout wins depends on the machine."""
    config, setup = set_up("model.drop_rate=0.3")

    def state() -> list:
        learner = setup.learner
        tensors = [*learner.model.state_dict().values(), *learner.objective.state_dict().values()]
        strides = [parameter.stride() for parameter in learner.model.parameters()]
        gradients = [parameter.grad for parameter in learner.model.parameters()]
        modes = [module.training for module in learner.model.modules()]
        of_numpy = np.random.get_state()[1].tolist()
        generators = [torch.random.get_rng_state(), random.getstate(), of_numpy]
        order = [batch["image_id"] for batch in setup.task.train_batches]
        return plain([tensors, strides, gradients, modes, generators, order, learner.num_updates])

    before = state()
    computation, choice = choose(config, setup)
    assert choice["source"] == "measured"
    assert choice["images"] == 8
    assert set(choice["seconds_per_image"]) == set(LAYOUTS)
    assert str(computation) in LAYOUTS
    assert state() == before


def test_what_is_given_is_never_measured(enough_time, set_up, monkeypatch):
    given = ["runtime.channels_last=false", "runtime.depthwise_gradient=torch"]
    config, setup = set_up(*given)
    monkeypatch.setattr(autotuning, "_measured", None)
    computation, choice = choose(config, setup)
    assert computation == Computation("float32", False)
    assert choice == {"source": "given", "keys": []}


def test_contenders_are_what_is_auto_and_what_the_device_has(set_up, monkeypatch):
    config, setup = set_up("model.name=convnext_atto", "runtime.precision=auto")
    model = setup.learner.model

    def names(config) -> list[str]:
        usual = Computation.of(config, CPU)
        return [str(way) for way in step_contenders(config, usual, CPU, model)]

    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: False)
    assert names(config) == LAYOUTS
    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: True)
    assert names(config) == [
        "bfloat16, NCHW",
        "bfloat16, NCHW, matmul gradient",
        "bfloat16, channels last",
        "bfloat16, channels last, matmul gradient",
        *LAYOUTS,
    ]
    in_float32, _ = set_up("model.name=convnext_atto", "runtime.precision=float32")
    assert names(in_float32) == LAYOUTS


@pytest.mark.parametrize("enough", [True, False])
def test_a_precision_that_is_emulated_is_warned_of(
    enough, set_up, own_cache, monkeypatch, caplog, request
):
    monkeypatch.setattr("core.training.precision.has_bfloat16", lambda device: False)
    if enough:
        request.getfixturevalue("enough_time")
        monkeypatch.setattr(step_trial, "seconds_of", lambda work, device: work() or _fake(work))
    config, setup = set_up("runtime.precision=bfloat16")
    computation, choice = choose(config, setup)
    assert computation == Computation("bfloat16", False)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("runtime.precision=bfloat16: this cpu computes it by emulation")
    assert ("7.0 times as slow" in warning) == enough
    assert choice["emulation_factor"] == (pytest.approx(7) if enough else None)


def _fake(work) -> float:
    return 0.07 if work.args[1].name == "bfloat16" else 0.01


def test_compiling_is_measured_on_cuda_only(enough_time, set_up):
    given = ["runtime.channels_last=false", "runtime.depthwise_gradient=torch"]
    config, setup = set_up(*given, "runtime.compile=auto")
    computation, choice = choose(config, setup)
    assert computation.compile is False
    assert choice["reason"] == "there is only one way on this device"


def test_compiling_pays_in_a_long_training(enough_time, set_up, monkeypatch):
    """What a GPU would do: by a clock, without one."""
    _, setup = set_up()
    trial, way = StepTrial(setup), Computation("float32", False)
    seconds = {False: 1.0, True: 0.5}
    monkeypatch.setattr(trial, "run", lambda one, batch: lambda: seconds[one.compile])
    assert trial.compiling(way, 4, budget.Budget(100.0)).chosen == "float32, NCHW, compiled"
    seconds[True] = 0.99
    assert trial.compiling(way, 4, budget.Budget(100.0)).chosen == "float32, NCHW"


def test_workers_are_tried_where_reading_takes_time(set_up, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    _, setup = set_up()
    dataset, asked = setup.task.train_batches.dataset, []
    seconds = {0: 1.0, 1: 0.6, 2: 0.59}
    monkeypatch.setattr(
        "core.running.loader_trial.reading_with",
        lambda number, *_: lambda: asked.append(number) or seconds[number],
    )
    found = workers_contest(dataset, 8, lambda batch: None, 1e-9, budget.Budget(100.0))
    assert (found.chosen, set(asked)) == ("2", {0, 1, 2})
    asked.clear()
    found = workers_contest(dataset, 8, lambda batch: None, 1e9, budget.Budget(100.0))
    assert (found.chosen, asked) == ("0", [])
    assert found.not_measured.startswith("reading takes 0.0% of a step")
    found = workers_contest(dataset, 8, lambda batch: None, 1e-9, budget.Budget(0.0))
    assert (found.chosen, found.not_measured) == ("0", "too little time, or one core")


def test_a_turn_of_workers_computes_every_batch_they_read(set_up):
    _, setup = set_up()
    for number in (0, 1):
        batches: list = []
        seconds = reading_with(number, setup.task.train_batches.dataset, [0, 1, 2], batches.append)
        assert seconds() > 0
        assert len(batches) == 5 + 2 * number
        assert {len(batch["image_id"]) for batch in batches} == {3}
