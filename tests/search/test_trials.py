"""Trials: when they are pruned, what a failure means, and what is printed at the end."""

import pytest
from search_runs import optuna, run_search, search_command, trials_in

from core.errors import InputError
from core.search import trial as trials
from core.search.composition import SearchConfig
from core.search.outcome import outcome_text
from core.search.settings import SearchSettings
from core.search.space import read_space
from core.search.trial import Watch

EPOCHS = 4


def records(figure: float, num_epochs: int = EPOCHS) -> list[dict]:
    """The history of a training whose figure rises to this one."""
    return [
        {"epoch": epoch, "validation": {"macro_average_precision": figure * epoch / num_epochs}}
        for epoch in range(1, num_epochs + 1)
    ]


def finished(config, callbacks):
    """What a training returns whose figure is best at a learning rate of 1e-3."""
    rate, history = config.training.learning_rate, []
    for record in records(1 / (1 + abs(rate - 1e-3) * 1000)):
        history.append(record)
        if any(each.on_epoch_end(record, record["epoch"]) for each in callbacks):
            break
    return {"history": history, "tested_epoch": len(history)}


@pytest.fixture
def search(tiny, tmp_path):
    """The printed end of a search with these words."""

    def run(*words: str) -> str:
        fast = ["training.num_epochs=4", "training.warmup_epochs=2"]
        return run_search(search_command([*tiny, *fast], tmp_path, *words))

    return run


class Strict:
    """A trial that would be pruned at once."""

    def __init__(self) -> None:
        self.reported = {}

    def report(self, value: float, step: int) -> None:
        self.reported[step] = value

    def should_prune(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("overrides", "pruned_at"),
    [
        (["training.warmup_epochs=0"], 1),
        (["training.warmup_epochs=1.5"], 2),
        (["training.warmup_epochs=30"], 3),  # at most half of the training
        (["training.warmup_epochs=0", "training.head_epochs=2"], 3),
        (["training.warmup_epochs=0", "training.head_epochs=3"], None),  # nothing is left to save
    ],
)
def test_no_trial_is_pruned_before_its_warm_up_is_over(compose, tiny, overrides, pruned_at):
    trial = Strict()
    watch = Watch(trial, compose(*tiny, "training.num_epochs=4", *overrides), prunes=True)
    for record in records(0.8):
        if watch.on_epoch_end(record, 1):
            break
    assert watch.pruned_at == pruned_at
    assert trial.reported == {epoch: 0.2 * epoch for epoch in range(1, (pruned_at or EPOCHS) + 1)}


def test_an_undefined_figure_is_not_reported(compose, tiny):
    watch = Watch(trial := Strict(), compose(*tiny, "training.warmup_epochs=0"), prunes=True)
    assert not watch.on_epoch_end({"epoch": 1, "validation": {trials.FIGURE: None}}, 1)
    assert not trial.reported


@pytest.mark.slow
def test_poor_trials_are_pruned_and_counted(search, tmp_path, monkeypatch):
    monkeypatch.setattr("core.search.outcome._FOREST_SEEDS", range(2))
    monkeypatch.setattr(trials, "train", finished)
    printed = search("search.num_trials=10")
    found = trials_in(tmp_path)
    pruned = [trial for trial in found if trial.state.name == "PRUNED"]
    assert pruned
    assert all(trial.last_step == 3 for trial in pruned)
    assert all(trial.state.name in ("PRUNED", "COMPLETE") for trial in found)
    complete = len(found) - len(pruned)
    assert f"10 of 10 trials: {complete} completed, {len(pruned)} pruned, 0 failed" in printed
    printed = search("search.num_trials=8", "search.pruning=false")  # another study
    assert "8 of 8 trials: 8 completed" in printed
    assert "training.learning_rate" in printed.partition("What mattered, by fANOVA")[2]


@pytest.mark.slow
def test_a_failed_trial_does_not_end_the_search(search, monkeypatch):
    def sometimes(config, callbacks):
        if config.loss["type"] == "asymmetric_loss":
            raise InputError("the loss is not finite")
        return finished(config, callbacks)

    monkeypatch.setattr(trials, "train", sometimes)
    printed = search("search.num_trials=6", "search.pruning=false")
    failed = printed.count("failed: the loss is not finite")
    assert 0 < failed < 6
    assert f"6 of 6 trials: {6 - failed} completed, 0 pruned, {failed} failed" in printed


@pytest.mark.slow
def test_a_search_ends_where_the_first_trials_fail(search, monkeypatch, capsys):
    def never(config, callbacks):
        raise InputError("data.root: is gone")

    monkeypatch.setattr(trials, "train", never)
    with pytest.raises(SystemExit) as ended:
        search("search.num_trials=6")
    assert ended.value.code == 2
    assert "the first 3 trials failed: data.root: is gone" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_queues_the_trial_again(search, tmp_path, monkeypatch):
    def interrupted(config, callbacks):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "train", interrupted)
    with pytest.raises(SystemExit) as ended:
        search("search.num_trials=1")
    assert ended.value.code == 130
    monkeypatch.setattr(trials, "train", finished)
    assert "1 of 1 trials: 1 completed, 0 pruned, 0 failed" in search("search.num_trials=1")
    first, second = trials_in(tmp_path)
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE")
    assert first.params == second.params


def test_with_latency_the_trials_that_none_beats_are_listed(compose, tiny):
    study = optuna.create_study(directions=["maximize", "minimize"])
    for figure, milliseconds in ((0.9, 8.0), (0.8, 3.0), (0.7, 5.0)):
        trial = study.ask()
        trial.suggest_float("training.learning_rate", 1e-5, 1e-2, log=True)
        study.tell(trial, [figure, milliseconds])
    config = SearchConfig(read_space("small"), SearchSettings(latency=True), (), compose(*tiny))
    text = outcome_text(study, config, "folder").partition("beaten in both figures:")[2]
    table = text.partition("\n\n")[0]
    shown = [line.split()[:3] for line in table.splitlines() if line.startswith("trial_")]
    assert shown == [["trial_000", "0.9000", "8.00"], ["trial_001", "0.8000", "3.00"]]


@pytest.mark.slow
def test_latency_is_measured_on_the_trained_model(trained):
    assert trials.latency_milliseconds(trained) > 0
