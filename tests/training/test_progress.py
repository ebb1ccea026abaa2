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


def test_without_a_criterion_the_last_epoch_is_the_best():
    assert filled(None, 0.1, 0.9).best_epoch == 2


@pytest.mark.parametrize(
    ("seconds", "num_epochs", "text"),
    [(10, 2, "0 s"), (10, 3, "5 s"), (100, 4, "1 min 40 s"), (7200, 5, "3 h 00 min")],
)
def test_the_time_left_follows_from_the_epochs_so_far(seconds, num_epochs, text, monkeypatch):
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: 0.0)
    progress = filled(ERROR, 0.2, 0.1)
    progress.restore(progress.state_dict() | {"training_seconds": seconds})
    assert progress.time_left(num_epochs) == text
