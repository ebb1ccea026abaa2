"""MODEL_CARD.md: what a model was made of, what it reaches, and where it must not be trusted."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.analysis.model_limits import limits
from core.experiments.reading import Experiment, read_experiment
from core.files.writing import write_text

CARD_FILE = "MODEL_CARD.md"
FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1", "average_precision": "AP"}
PARTS = ("train", "validation", "test")

DATA_LICENCES = {
    "severstal": "Data: read from the data set named above, which is not part of this project. "
    "The Severstal strips are under the rules of their Kaggle competition.",
    "synthetic": "Data: drawn by the generator of this project; no third party has rights in them.",
}


def write_model_card(path: Path | str) -> Path:
    """Write the card into the folder of a completed experiment, and return its path.

    Raises:
        InputError: not a completed experiment.
    """
    experiment = read_experiment(path)
    card = experiment.path / CARD_FILE
    write_text(card, model_card(experiment))
    return card


def model_card(experiment: Experiment) -> str:
    """The card as Markdown, from nothing but results.json."""
    sections = {
        "Model": _model(experiment),
        "Data": _data(experiment),
        "Figures": _figures(experiment),
        "Thresholds and calibration": _decisions(experiment),
        "Limits": _list(limits(experiment)),
        "Environment": _environment(experiment),
        "Licences": _list(_licences(experiment)),
    }
    text = [f"# {_escaped(experiment.name)}"]
    text += [f"## {title}\n\n{content}" for title, content in sections.items()]
    return "\n\n".join(text) + "\n"


def _model(experiment: Experiment) -> str:
    look_up = experiment.look_up
    parameters = look_up("model", "num_parameters")
    size = "x".join(map(str, look_up("config", "data", "image_size") or []))
    return _list(
        [
            f"{look_up('config', 'model', 'name')}, {parameters or 0:,} parameters, trained with "
            f"{look_up('config', 'loss', 'type')} and seed {look_up('experiment', 'seed')}",
            f"for {size} images (height x width) with {look_up('config', 'data', 'channels')} "
            f"channel(s), each with any of the classes {', '.join(experiment.class_names)} or none",
            f"epoch {look_up('tested_epoch')} of {len(look_up('history') or [])}, begun "
            f"{look_up('experiment', 'created_at')}",
            f"made by `{look_up('experiment', 'command')}`",
        ]
    )


def _data(experiment: Experiment) -> str:
    data = experiment.results["data"]
    split = data.get("split") or {}
    parts = split.get("parts") or {}
    header = ["part", "images", "clean", *experiment.class_names]
    rows = [
        [part, parts[part].get("num_images"), parts[part].get("clean")]
        + [(parts[part].get("class_counts") or {}).get(name) for name in experiment.class_names]
        for part in PARTS
        if part in parts
    ]
    source = experiment.look_up("config", "data", "source")
    text = (
        f"{data.get('num_images')} images of source {source} (labels "
        f"from {data.get('source')}, fingerprint `{str(data.get('fingerprint'))[:16]}`), "
        f"split by {split.get('strategy')} with seed {split.get('seed')}; "
        f"{data.get('num_duplicate_pairs') or 0} pairs of near-duplicates, each in one part."
    )
    return f"{text}\n\n{_table(header, rows)}"


def _figures(experiment: Experiment) -> str:
    confidence = experiment.look_up("test", "intervals", "confidence") or 0.95
    blocks = [
        f"Of the {experiment.look_up('test', 'num_images')} test images, with "
        f"{100 * confidence:g} % bootstrap intervals over images. Headline: macro-F1 of the "
        "classes at 0.5."
    ]
    for key, title in (("test", "At 0.5"), ("test_at_thresholds", "At the thresholds below")):
        if experiment.look_up(key):
            rows = [
                [
                    name,
                    experiment.look_up(key, "per_class", name, "support"),
                    *_with_intervals(experiment, key, ("per_class", name)),
                ]
                for name in experiment.class_names
            ]
            rows.append(["macro", "", *_with_intervals(experiment, key, ("macro",))])
            table = _table(["class", "support", *FIGURES.values()], rows)
            blocks.append(f"{title}:\n\n{table}")
    return "\n\n".join(blocks)


def _with_intervals(experiment: Experiment, part: str, keys: Sequence[str]) -> list[str]:
    cells = []
    for name in FIGURES:
        value = experiment.look_up(part, *keys, name)
        bounds = experiment.look_up(part, "intervals", *keys, name)
        text = "-" if value is None else f"{value:.3f}"
        if value is not None and bounds and None not in bounds:
            text += f" [{bounds[0]:.3f}, {bounds[1]:.3f}]"
        cells.append(text)
    return cells


def _decisions(experiment: Experiment) -> str:
    thresholds = experiment.look_up("thresholds") or {}
    calibration = experiment.look_up("calibration") or {}
    scaling = calibration.get("scaling") or {}
    header = ["class", "threshold", *(["slope", "intercept"] if scaling else [])]
    rows = []
    for name, threshold in thresholds.items():
        fitted = scaling.get(name) or {}
        rows.append([name, f"{threshold:.4f}", *(f"{value:.4f}" for value in fitted.values())])
    error = "expected_calibration_error"
    before = _number(calibration, "before", "macro", error)
    after = _number(calibration, "after", "macro", error)
    text = (
        f"Chosen on the validation part by {experiment.look_up('threshold_criterion')}. "
        f"Calibration: {calibration.get('method')}; expected calibration error on the test part "
        f"{before}{f', {after} once calibrated' if scaling else ''}."
    )
    if scaling:
        text += " Thresholds are those of the probabilities before the scaling."
    return f"{text}\n\n{_table(header, rows)}"


def _environment(experiment: Experiment) -> str:
    look_up = experiment.look_up
    commit = look_up("environment", "git") or {}
    changed = " (with changes)" if commit.get("changed") else ""
    versions = look_up("environment", "packages") or {}
    hardware = look_up("environment", "hardware") or {}
    return _list(
        [
            f"Python {look_up('environment', 'python')}, "
            + ", ".join(f"{name} {version}" for name, version in versions.items()),
            f"code: commit {commit.get('commit')}{changed}",
            f"{hardware.get('accelerator') or hardware.get('processor')}, "
            f"{hardware.get('torch_threads')} threads",
        ]
    )


def _licences(experiment: Experiment) -> list[str]:
    source = str(experiment.look_up("config", "data", "source"))
    weights = experiment.look_up("model", "initial_weights") or {}
    lines = [DATA_LICENCES.get(source, f"Data: source {source}, licence not recorded.")]
    if not weights.get("source"):
        return [*lines, "Weights: trained from scratch, from random numbers."]
    licence = weights.get("licence") or "not stated by its source"
    return [*lines, f"Weights: trained on from {weights['source']}; licence: {licence}."]


def _number(values: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        values = (values or {}).get(key)
    return "-" if values is None else f"{values:.3f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_escaped(str(cell)) for cell in row)} |" for row in lines)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
