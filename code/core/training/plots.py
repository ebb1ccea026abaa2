"""Learning curves as PNG."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from core.files import replacing


def plot_history(path: Path, history: list[dict[str, Any]], best_epoch: int) -> None:
    """Losses above, validation macro-F1 and average precision below, the best epoch marked."""
    epochs = [record["epoch"] for record in history]
    # Figure itself rather than pyplot: no global state, and no display is looked for.
    figure = Figure(figsize=(8, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
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
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (upper, lower):
        axes.axvline(best_epoch, color="0.6", linestyle="--", linewidth=1, label="best epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
