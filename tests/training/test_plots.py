"""The curves of a training: drawn now and then, and always in the end."""

import pytest
from installed_fonts import installed, write_chinese_font

from core.training.classification import history_plot
from core.training.classification.history_plot import HistoryPlot, plot_history


def history(num_epochs: int) -> list[dict]:
    validation = {"loss": 0.5, "macro_f1": 0.4, "macro_average_precision": None}
    return [
        {"epoch": epoch, "train": {"loss": 0.6}, "validation": validation}
        for epoch in range(1, num_epochs + 1)
    ]


def test_it_is_drawn_once_a_minute_and_at_the_end(tmp_path, monkeypatch):
    clock = iter([0, 0, 10, 59.9, 60, 60, 70, 80])
    monkeypatch.setattr(history_plot.time, "monotonic", lambda: next(clock))
    drawn = []
    monkeypatch.setattr(
        history_plot, "plot_history", lambda path, h, best: drawn.append((len(h), best))
    )
    plot = HistoryPlot(tmp_path / "history.png")
    for record in history(5):
        plot.on_epoch_end(record, 1)
        plot._drawing.wait()
    assert drawn == [(1, 1), (4, 1)]
    plot.close()
    plot.close()
    assert drawn == [(1, 1), (4, 1), (5, 1)]


def test_nothing_is_drawn_of_no_epoch(tmp_path):
    HistoryPlot(tmp_path / "history.png").close()
    assert not (tmp_path / "history.png").exists()


def test_the_file_is_a_picture(tmp_path):
    plot = HistoryPlot(tmp_path / "history.png")
    for record in history(3):
        plot.on_epoch_end(record, 1)
    plot._drawing.wait()
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("names", [["Öl", "Riß", "трещина", "裂纹", "黑点"], ["$a$", "b$", "x"]])
@pytest.mark.parametrize("has_font", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_parts_of_any_language_are_named_without_a_warning(
    names, has_font, tmp_path, caplog, recwarn
):
    records = history(3)
    for record in records:
        record["loss_weights"] = dict.fromkeys(names, 0.5)
    with installed(*([write_chinese_font(tmp_path / "f.ttf")] if has_font else [])):
        plot_history(tmp_path / "history.png", records, 1)
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert not recwarn.list
    assert not caplog.records
