"""MODEL_CARD.md: how a model was made, what it reaches, and where it must not be trusted."""

from collections.abc import Iterable
from pathlib import Path

from core.analysis.text_tables import METRIC_TITLES, escaped, markdown, number, with_bounds
from core.experiments.reading import Experiment, read_experiment
from core.files.writing import write_text

CARD_FILE = "MODEL_CARD.md"
FIGURES = ("precision", "recall", "f1", "average_precision")
PARTS = ("train", "validation", "test")
DATA_LICENCES = {
    "severstal": "Data: read from the data set named above, which is not part of this project. "
    "The Severstal strips are subject to the rules of their Kaggle competition.",
    "synthetic": "Data: drawn by the generator of this project; no third party has rights in them.",
}
# With fewer test images of a class, its figures are hardly more than examples.
FEW_IMAGES = 30
# About 7 % of the real label sets are estimated to be wrong: more agreement than this is a leak.
SUSPICIOUS = 0.95


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
    """The card as Markdown, from results.json alone."""
    sections = {
        "Model": _model(experiment),
        "Data": _data(experiment),
        "Figures": _figures(experiment),
        "Thresholds and calibration": _decisions(experiment),
        "Limits": _list(limits(experiment)),
        "Environment": _environment(experiment),
        "Licences": _list(_licences(experiment)),
    }
    text = [f"# {escaped(experiment.name)}"]
    text += [f"## {title}\n\n{content}" for title, content in sections.items()]
    return "\n\n".join(text) + "\n"


def _model(experiment: Experiment) -> str:
    look_up = experiment.look_up
    return _list(
        [
            f"{look_up('config', 'model', 'name')}, {look_up('model', 'num_parameters') or 0:,} "
            f"parameters, trained with {look_up('config', 'loss', 'type')} and seed "
            f"{look_up('experiment', 'seed')}",
            f"for {_size(experiment)} images (height x width) with "
            f"{look_up('config', 'data', 'channels')} channel(s); each shows any of the classes "
            f"{', '.join(experiment.class_names)}, or none",
            f"weights of epoch {look_up('tested_epoch')} of {len(look_up('history') or [])}; "
            f"training started at {look_up('experiment', 'created_at')}",
            f"made by `{look_up('experiment', 'command')}`",
        ]
    )


def _data(experiment: Experiment) -> str:
    names, look_up = experiment.class_names, experiment.look_up
    parts = look_up("data", "split", "parts") or {}
    rows = [["part", "images", "clean", *names]]
    for part in [part for part in PARTS if part in parts]:
        counts = parts[part].get("class_counts") or {}
        rows.append([part, parts[part].get("num_images"), parts[part].get("clean")])
        rows[-1] += [counts.get(name) for name in names]
    text = (
        f"{look_up('data', 'num_images')} images of source {look_up('config', 'data', 'source')} "
        f"(labels from {look_up('data', 'source')}, fingerprint "
        f"`{str(look_up('data', 'fingerprint'))[:16]}`), split by "
        f"{look_up('data', 'split', 'strategy')} with seed {look_up('data', 'split', 'seed')}; "
        f"{look_up('data', 'num_duplicate_pairs') or 0} pairs of near-duplicates, both images of a "
        "pair in the same part."
    )
    return f"{text}\n\n{markdown(rows)}"


def _figures(experiment: Experiment) -> str:
    look_up = experiment.look_up
    confidence = look_up("test", "intervals", "confidence") or 0.95
    blocks = [
        f"On the {look_up('test', 'num_images')} test images, with {100 * confidence:g} % "
        "bootstrap intervals over images. The headline is macro-F1 of the classes at 0.5."
    ]
    keys = [(name, ("per_class", name)) for name in experiment.class_names]
    for part, title in (("test", "At 0.5"), ("test_at_thresholds", "At the thresholds below")):
        rows = [["class", "support", *(METRIC_TITLES[metric] for metric in FIGURES)]]
        for name, where in (*keys, ("macro", ("macro",))):
            support = look_up(part, *where, "support")
            rows.append([name, "" if support is None else support])
            for metric in FIGURES:
                bounds = look_up(part, "intervals", *where, metric)
                rows[-1].append(with_bounds(look_up(part, *where, metric), bounds))
        if look_up(part):
            blocks.append(f"{title}:\n\n{markdown(rows)}")
    return "\n\n".join(blocks)


def _decisions(experiment: Experiment) -> str:
    look_up = experiment.look_up
    scaling = look_up("calibration", "scaling") or {}
    rows = [["class", "threshold", *(["slope", "intercept"] if scaling else [])]]
    for name, threshold in (look_up("thresholds") or {}).items():
        fitted = (scaling.get(name) or {}).values()
        rows.append([name, *(number(value, 4) for value in (threshold, *fitted))])
    before, after = (
        number(look_up("calibration", when, "macro", "expected_calibration_error"))
        for when in ("before", "after")
    )
    text = (
        f"Chosen on the validation part by {look_up('threshold_criterion')}. Calibration: "
        f"{look_up('calibration', 'method')}; expected calibration error on the test part "
        f"{before}{f', {after} after calibration' if scaling else ''}."
    )
    if scaling:
        text += " The thresholds apply to the probabilities before calibration."
    return f"{text}\n\n{markdown(rows)}"


def limits(experiment: Experiment) -> list[str]:
    """Where the model must not be trusted, one sentence each."""
    look_up = experiment.look_up
    found = [
        f"Takes images of {_size(experiment)} only, and knows no defects other than its classes: "
        "what looks like none of them is called clean."
    ]
    if look_up("config", "data", "source") == "synthetic":
        found.append("Trained and tested on procedural strips: says nothing about real steel.")
    if noise := look_up("config", "data", "label_noise"):
        found.append(f"One label of {100 * noise:g} % of the images was flipped on purpose.")
    for name in experiment.class_names:
        support = look_up("test", "per_class", name, "support") or 0
        if support < FEW_IMAGES:
            uncertain = "its figures are uncertain, see the intervals"
            found.append(f"{name}: {support} test images; {uncertain}.")
    for name in experiment.class_names:
        recall = look_up("test_at_thresholds", "per_class", name, "recall")
        if recall is not None and recall < 0.5:
            found.append(f"{name}: misses more than half of its test images at its threshold.")
    if (look_up("calibration", "method") or "none") == "none":
        found.append("Not calibrated: a probability ranks images; it is not a share of defects.")
    if look_up("config", "data", "group_duplicates") is False:
        found.append("Near-duplicates were not looked for: training strips may be in the test.")
    if (look_up("test", "subset_accuracy") or 0) > SUSPICIOUS:
        found.append("Nearly every label set is right: look for training strips in the test.")
    return found


def _environment(experiment: Experiment) -> str:
    environment = experiment.look_up("environment") or {}
    packages, commit, hardware = (
        environment.get(key) or {} for key in ("packages", "git", "hardware")
    )
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    changed = " (with changes)" if commit.get("changed") else ""
    processor = hardware.get("accelerator") or hardware.get("processor")
    return _list(
        [
            f"Python {environment.get('python')}, {versions}",
            f"code: commit {commit.get('commit')}{changed}",
            f"{processor}, {hardware.get('torch_threads')} threads",
        ]
    )


def _licences(experiment: Experiment) -> list[str]:
    source = str(experiment.look_up("config", "data", "source"))
    weights = experiment.look_up("model", "initial_weights") or {}
    data = DATA_LICENCES.get(source, f"Data: source {source}, licence not recorded.")
    if not weights.get("source"):
        return [data, "Weights: trained from scratch, from random numbers."]
    licence = weights.get("licence") or "not stated by its source"
    return [data, f"Weights: initialised from {weights['source']}; licence: {licence}."]


def _size(experiment: Experiment) -> str:
    return "x".join(map(str, experiment.look_up("config", "data", "image_size") or []))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
