"""The history of a training: its best epoch, when it stalls, and the time that is left."""

import pytest

from core.training import progress as progress_module
from core.training.progress import Criterion, Progress

ERROR = Criterion("error", "error", larger_is_better=False)


def record(epoch: int, value: float | None, loss: float = 1.0) -> dict:
    return {"epoch": epoch, "validation": {"error": value, "loss": loss}}


def filled(criterion: Criterion | None, *values: float | None) -> Progress:
    progress = Progress(criterion)
    for epoch, value in enumerate(values, start=1):
        progress.add(record(epoch, value))
    return progress


def test_the_direction_of_the_criterion_counts():
    assert filled(ERROR, 0.5, 0.3, 0.4).best_epoch == 2
    assert filled(Criterion("error", "error"), 0.5, 0.3, 0.4).best_epoch == 1


def test_an_undefined_figure_is_the_worst_and_ties_go_by_the_loss():
    assert filled(ERROR, None, 0.9, None).best_epoch == 2
    progress = filled(ERROR, 0.5)
    assert progress.add(record(2, 0.5, loss=0.9))
    assert not progress.add(record(3, 0.5, loss=0.95))


def test_a_second_figure_decides_before_the_loss():
    criterion = Criterion("f1", "F1", second_figure="ap")
    progress, epochs = Progress(criterion), [(0.0, 0.3, 9), (0.0, 0.2, 1), (0.0, 0.4, 10)]
    epochs += [(0.0, 0.4, 10), (0.0, None, 0), (0.0, 0.4, 9), (0.1, None, 99)]
    for epoch, (f1, ap, loss) in enumerate(epochs, start=1):
        progress.add({"epoch": epoch, "validation": {"f1": f1, "ap": ap, "loss": loss}})
        assert progress.best_epoch == [1, 1, 3, 3, 3, 6, 7][epoch - 1]


def test_without_a_criterion_the_last_epoch_is_the_best():
    assert filled(None, 0.1, 0.9).best_epoch == 2


@pytest.mark.parametrize(
    ("seconds", "num_epochs", "text"),
    [
        (10, 2, "0 s"),
        (10, 3, "5 s"),
        (100, 4, "2 min"),
        (7190, 3, "1.0 h"),
        (7200, 5, "3.0 h"),
        (7200, 27, "25 h"),
    ],
)
def test_the_time_left_follows_from_the_epochs_so_far(seconds, num_epochs, text, monkeypatch):
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: 0.0)
    progress = filled(ERROR, 0.2, 0.1)
    progress.restore(progress.state_dict() | {"training_seconds": seconds})
    assert progress.time_left(num_epochs) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234, "0.123"), (0.0123, "0.0123"), (0.00123, "1.2e-3"), (1.23e-5, "1.2e-5"),
        (-0.0123, "-1e-2"), (12345.0, "1.2e4"), (1.23e-12, "1e-12"), (0.0, "0"),
        (float("nan"), "nan"), (123.4, "123"),
    ],
)  # fmt: skip
def test_a_number_takes_six_characters_at_most(value, text):
    assert progress_module.brief(value) == text
    assert len(text) <= 6


def test_the_line_of_an_epoch_fits_eighty_columns(monkeypatch):
    """With four digits of epochs, tiny negative losses and weeks to go."""
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: 0.0)
    history = [{**record(k, 0.5), "train": {"loss": -1.234e-12}} for k in range(1, 1001)]
    progress = Progress(ERROR)
    state = {"history": history, "best_epoch": 1000, "training_seconds": 1e6}
    progress.restore(state)
    told = f"validation {progress_module.brief(-1.234e-12)}  macro-F1 0.123"
    line = progress.line(9000, told, is_best=True)
    assert line == (
        "epoch 1000/9000 loss -1e-12 validation -1e-12 macro-F1 0.123 (best) 2222 h left"
    )
    assert len(line) <= 80
    progress.restore({"history": history[:3], "best_epoch": 3, "training_seconds": 30})
    told = "validation 0.0123  macro-F1 0.123"
    assert progress.line(12, told, is_best=False) == (
        "epoch 3/12  loss -1e-12  validation 0.0123  macro-F1 0.123  2 min left"
    )
