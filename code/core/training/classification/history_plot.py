"""Learning curves as PNG."""

import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from core.files.writing import replacing
from core.machine.fonts import drawable, families
from core.training.background import Background
from core.training.callbacks import Callback

# Drawing takes up to half a second: more than the whole of a small network's epoch.
_LEAST_SECONDS = 60.0


class HistoryPlot(Callback):
    """Callback that draws the training curves, at most once a minute and at the end.

    A thread draws while the training goes on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history: list[dict[str, Any]] = []
        self._drawn_at = -_LEAST_SECONDS
        self._best_epoch: int | None = None
        self._drawing = Background()

    def reads_files(self, epoch: int) -> bool:
        return False

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> None:
        self.history.append(record)
        self._best_epoch = best_epoch
        if time.monotonic() - self._drawn_at >= _LEAST_SECONDS:
            self._draw()

    def close(self) -> None:
        """Draw the epochs that have not been drawn yet."""
        if self._best_epoch is not None:
            self._draw()
        self._drawing.wait()

    def _draw(self) -> None:
        history, best_epoch = self.history.copy(), self._best_epoch
        self._drawing.start(lambda: plot_history(self.path, history, best_epoch))
        self._best_epoch, self._drawn_at = None, time.monotonic()


def plot_history(path: Path, history: list[dict[str, Any]], best_epoch: int) -> None:
    """Losses, validation macro-F1 and average precision, and the weights of a compound loss."""
    epochs = [record["epoch"] for record in history]
    # Figure instead of pyplot: no global state, and no search for a display.
    parts = list(history[-1].get("loss_weights", {}))
    rows = 3 if parts else 2
    figure = Figure(figsize=(8, 3.5 * rows), layout="constrained")
    upper, lower, *weights = all_axes = figure.subplots(rows, 1, sharex=True)
    style = {"marker": "o", "markersize": 3}
    upper.plot(epochs, [r["train"]["loss"] for r in history], label="training", **style)
    upper.plot(epochs, [r["validation"]["loss"] for r in history], label="validation", **style)
    upper.set_ylabel("loss")
    for key, label in (("macro_f1", "macro-F1"), ("macro_average_precision", "macro AP")):
        # An undefined figure leaves a gap in its line.
        values = [float("nan") if (v := r["validation"][key]) is None else v for r in history]
        lower.plot(epochs, values, label=f"validation {label}", **style)
    lower.set_ylabel("score")
    lower.set_ylim(0, 1.02)
    for name in parts:
        values = [r["loss_weights"][name] for r in history]
        # A dollar sign would begin a formula.
        label = drawable(name).replace("$", r"\$")
        weights[0].plot(epochs, values, label=label, **style)
        weights[0].set_ylabel("weight in the loss")
    all_axes[-1].set_xlabel("epoch")
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in all_axes:
        axes.axvline(best_epoch, color="0.6", linestyle="--", linewidth=1, label="best epoch")
        axes.grid(alpha=0.3)
        axes.legend(prop={"family": families("".join(parts))})
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
