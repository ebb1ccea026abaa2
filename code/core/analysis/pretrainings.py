"""Pretrainings beside the classifiers that were trained from their encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.analysis.text_tables import number
from core.experiments.reading import Experiment, look_up
from core.experiments.schema import PRETRAINING

ENCODER_FILE = "encoder.safetensors"
PROBE = "probe_average_precision"
# Of the tested epoch.
FIGURES = ("effective_rank", "standard_deviation", "retrieval")
OF_PAINTED = (
    "pixel_average_precision", "painted_share", "strip_average_precision", "painted_strip_share",
)  # fmt: skip
"""Average precision of painted pixels and strips, each with what chance has."""


def probe_of(one: Experiment) -> float | None:
    """The average precision of the probe at the tested epoch; None where none was taken."""
    tested = one.look_up("tested_epoch") or one.look_up("best_epoch")
    for record in one.look_up("history") or []:
        if record["epoch"] == tested:
            return look_up(record, "validation", PROBE)
    return None


def pretraining_row(one: Experiment) -> dict[str, Any]:
    """A pretraining as one flat row."""
    look = one.look_up
    return {
        "kind": PRETRAINING,
        "experiment": one.name,
        "method": look("method", "type"),
        "model": look("model", "name"),
        "seed": look("experiment", "seed"),
        "num_images": look("data", "num_images"),
        "epochs": len(look("history") or []),
        **{name: look("test", name) for name in (*FIGURES, *OF_PAINTED)},
        PROBE: probe_of(one),
        "collapsed": look("collapsed"),
    }


def pretraining_rows(pretrainings: Sequence[Experiment]) -> list[list[str]]:
    """A table of pretrainings, in the order in which they are given: no figure ranks them.

    Where defects were painted, it also has the average precision of strips beside that of chance.
    """
    found = [pretraining_row(one) for one in pretrainings]
    is_painted = any(row["strip_average_precision"] is not None for row in found)
    of_strips = ["strip AP", "chance"] if is_painted else []
    rows = [
        ["pretraining", "method", "images", "epochs", "rank", "probe AP", *of_strips, "collapsed"]
    ]
    for row in found:
        rows.append(
            [
                *(str(row[key]) for key in ("experiment", "method", "num_images", "epochs")),
                number(row["effective_rank"], 1),
                *(number(row[key]) for key in (PROBE, *(OF_PAINTED[2:] if is_painted else ()))),
                "yes" if row["collapsed"] else "no",
            ]
        )
    return rows


def starts_from_encoder(one: Experiment) -> bool:
    """Whether the training went on from the encoder of a pretraining."""
    return str(one.config.get("model.weights") or "").endswith(ENCODER_FILE)


def starting_point(one: Experiment) -> str:
    """What a training was initialised from: the pretraining by its folder, other weights by name.

    `random` where from nothing.
    """
    if starts_from_encoder(one):
        return Path(one.config["model.weights"]).absolute().parent.name
    return str(one.look_up("model", "initial_weights", "source") or "random")
