"""A whole experiment as one HTML file, which loads nothing from any server."""

import logging
from collections.abc import Mapping
from pathlib import Path

from core.analysis.decisions import decisions_of
from core.analysis.label_sets import confusion
from core.analysis.novelty_report import render_novelty
from core.analysis.page import key_values, links, page, paragraph, section
from core.analysis.pretraining_report import render_pretraining
from core.analysis.report_figures import precision_recall, reliability, training_curves
from core.analysis.report_images import duplicates, mistakes, suspects
from core.analysis.report_maps import where_it_looks
from core.analysis.report_summary import class_table, decision_table, files_beside, summary
from core.errors import InputError
from core.experiments.predictions import Predictions, read_predictions
from core.experiments.reading import Experiment, flatten, read_any
from core.experiments.schema import NOVELTY
from core.experiments.strips import ImageFolder, Strips
from core.files.escaping import for_html as escape
from core.files.writing import write_text
from core.metrics.scored_predictions import DEFAULT_THRESHOLD

log = logging.getLogger(__name__)

REPORT_FILE = "report.html"


def write_report(experiment: Path | str, *, data_root: Path | str | None = None) -> Path:
    """Write `report.html` into the folder of an experiment of any kind, and return its path.

    Pictures come from `data_root`, by default the data set that the experiment names; where it is
    gone, the report has none. Raises InputError for a cross-validation, predictions that do not fit
    the experiment, and a `data_root` that is not a folder.
    """
    read = read_any(experiment)
    path = read.path / REPORT_FILE
    if read.kind == NOVELTY:
        write_text(path, render_novelty(read))
        return path
    if read.is_pretraining:
        write_text(path, render_pretraining(read))
        return path
    read.check_has_one_model()
    parts = {split: read_predictions(read, split) for split in ("validation", "test")}
    images = Strips(read, data_root)
    write_text(path, render(read, parts, images))
    return path


def update_report(experiment: Path, *, data_root: Path | None = None) -> None:
    """`write_report` after something was added that stands without it: no report is a warning."""
    try:
        write_report(experiment, data_root=data_root)
    except InputError as error:
        log.warning("%s was not updated: %s", experiment / REPORT_FILE, error)


def render(experiment: Experiment, parts: Mapping[str, Predictions], images: ImageFolder) -> str:
    """The report as HTML."""
    held_out = {split: decisions_of(experiment, part) for split, part in parts.items()}
    test, at_half = held_out["test"], decisions_of(experiment, parts["test"], DEFAULT_THRESHOLD)
    per_class = decision_table(test, at_half) + class_table(experiment)
    sections = (
        ("classes", "Per class", per_class),
        ("label-sets", "Confusion of label sets", confusion(test)),
        ("mistakes", "Most confident mistakes", mistakes(experiment, test, images)),
        ("where", "Where the model looks", where_it_looks(experiment, images)),
        ("precision-recall", "Precision and recall", precision_recall(experiment, test)),
        ("calibration", "Calibration", reliability(experiment, test)),
        ("training", "Training", training_curves(experiment)),
        ("label-errors", "Suspected label errors", suspects(held_out, images)),
        ("duplicates", "Near-duplicates", duplicates(experiment, parts)),
        ("settings", "Config and environment", _settings(experiment)),
    )
    started = str(experiment.look_up("experiment", "created_at") or "").replace("T", " ")
    body = [
        f"<h1>{escape(experiment.name)}</h1>",
        paragraph(started, "soft"),
        links((f"#{name}", title) for name, title, _ in sections),
        summary(experiment, test, at_half),
        files_beside(experiment),
        *(section(name, title, content) for name, title, content in sections),
    ]
    return page(experiment.name, "\n".join(body))


def _settings(experiment: Experiment) -> str:
    command = str(experiment.look_up("experiment", "command") or "")
    tables = [key_values("Config", experiment.config)]
    for title in ("Environment", "Data", "Loss", "Mask loss", "Timings"):
        values = experiment.look_up(title.lower().replace(" ", "_"))
        tables.append(key_values(title, flatten(values or {})))
    return f"<p><code>{escape(command)}</code></p>{''.join(tables)}"
