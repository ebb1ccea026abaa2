"""A whole experiment as one HTML file, which loads nothing from any server."""

from collections.abc import Mapping
from pathlib import Path

from core.analysis.label_sets import confusion
from core.analysis.page import contents, key_values, page, paragraph, section
from core.analysis.report_figures import (
    class_table,
    precision_recall,
    reliability,
    summary,
    training_curves,
)
from core.analysis.report_images import duplicates, mistakes, suspects
from core.analysis.report_maps import explanations, localization
from core.experiments.predictions import Predictions, read_predictions
from core.experiments.reading import Experiment, flatten, read_experiment
from core.experiments.strips import ImageFolder, Strips
from core.files.escaping import for_html as escape
from core.files.writing import write_text

REPORT_FILE = "report.html"


def write_report(experiment: Path | str, *, data_root: Path | str | None = None) -> Path:
    """Write `report.html` into the folder of a completed experiment, and return its path.

    Pictures come from `data_root`, by default the data set that the experiment names; where it is
    gone, the report has none. Raises InputError for predictions that do not fit the experiment, and
    a `data_root` that is not a folder.
    """
    read = read_experiment(experiment)
    parts = {split: read_predictions(read, split) for split in ("validation", "test")}
    images = Strips(read, data_root)
    path = read.path / REPORT_FILE
    write_text(path, render(read, parts, images))
    return path


def render(experiment: Experiment, parts: Mapping[str, Predictions], images: ImageFolder) -> str:
    """The report as HTML."""
    test = parts["test"]
    sections = (
        ("classes", "Per class", class_table(experiment)),
        ("training", "Training", training_curves(experiment)),
        ("precision-recall", "Precision and recall", precision_recall(experiment, test)),
        ("calibration", "Calibration", reliability(experiment, test)),
        ("label-sets", "Confusion of label sets", confusion(test, experiment.class_names)),
        ("localization", "Where defects are found", localization(experiment, images)),
        ("mistakes", "Most confident mistakes", mistakes(experiment, test, images)),
        ("explanations", "Where the model looks", explanations(experiment)),
        ("label-errors", "Suspected label errors", suspects(experiment, parts, images)),
        ("duplicates", "Near-duplicates", duplicates(experiment, parts)),
        ("settings", "Config and environment", _settings(experiment)),
    )
    started = str(experiment.look_up("experiment", "created_at") or "").replace("T", " ")
    body = [
        f"<h1>{escape(experiment.name)}</h1>",
        paragraph(started, "soft"),
        contents((name, title) for name, title, _ in sections),
        summary(experiment),
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
