"""MODEL_CARD.md: how a model was made, what it reaches, and where it must not be trusted.

The text is in model_card_template.md, whose {keys} are those of results.json or computed here.
"""

import re
from pathlib import Path
from typing import Any

from core.analysis.text_tables import (
    METRIC_TITLES,
    class_title,
    markdown,
    number,
    resampled,
    with_bounds,
)
from core.experiments.reading import Experiment, read_experiment
from core.files.escaping import for_markdown, markdown_code
from core.files.reading import MEBIBYTE, read_bytes
from core.files.writing import write_text

CARD_FILE = "MODEL_CARD.md"
TEMPLATE = Path(__file__).with_name("model_card_template.md").read_text(encoding="utf-8")
# Values that are Markdown already; all others are escaped.
MARKDOWN = ("command", "fingerprint", "parts", "figures", "thresholds", "limits")
FIGURES = ("precision", "recall", "f1", "average_precision")
DATA_LICENCES = {
    "severstal": "read from the data set named above, which is not part of this project. The "
    "Severstal strips are subject to the rules of their Kaggle competition.",
    "synthetic": "drawn by the generator of this project; no third party has rights in them.",
}
NOTES = {
    "auto": "It undoes how the loss moves probabilities, and needs no data. The thresholds and all "
    "figures are for the probabilities after it.",
    None: "The thresholds apply to the probabilities before calibration.",
}
# With fewer test images of a class, its figures are hardly more than examples.
FEW_IMAGES = 30
# About 7 % of the real label sets are estimated to be wrong: more agreement than this is a leak.
SUSPICIOUS = 0.95


def write_model_card(path: Path | str) -> Path:
    """Write the card into the folder of a completed experiment, and return its path."""
    experiment = read_experiment(path)
    card = experiment.path / CARD_FILE
    write_text(card, model_card(experiment))
    return card


def card_in(path: Path | str) -> bytes:
    """The card in the folder of an experiment, as it is; a new one where there is none."""
    experiment = read_experiment(path)
    card = experiment.path / CARD_FILE
    if card.is_file():
        return read_bytes(card, MEBIBYTE)
    return model_card(experiment).encode()


def model_card(experiment: Experiment) -> str:
    """The card as Markdown, from results.json alone."""
    computed = _computed(experiment)

    def value(match: re.Match[str]) -> str:
        key = match[1]
        found = computed[key] if key in computed else experiment.look_up(*key.split("."))
        return str(found) if key in MARKDOWN else for_markdown(str(found))

    return re.sub(r"\{([\w.]+)\}", value, TEMPLATE)


def _computed(experiment: Experiment) -> dict[str, Any]:
    """What the template shows and results.json does not hold in this form."""
    look_up = experiment.look_up
    packages = (look_up("environment", "packages") or {}).items()
    commit, hardware = (look_up("environment", key) or {} for key in ("git", "hardware"))
    weights, source = look_up("model", "initial_weights") or {}, look_up("config", "data", "source")
    error = ("macro", "expected_calibration_error")
    licence = weights.get("licence") or "not stated by its source"
    pretrained = f", pretrained by {by}" if (by := weights.get("pretrained_by")) else ""
    if seen := weights.get("held_out_images_seen"):
        pretrained += f" (on {seen} images of the validation and test part: figures are too good)"
    return {
        "name": experiment.name,
        "parameters": f"{look_up('model', 'num_parameters') or 0:,}",
        "size": _size(experiment),
        "classes": ", ".join(experiment.class_names),
        "epochs": len(look_up("history") or []),
        "command": markdown_code(str(look_up("experiment", "command"))),
        "fingerprint": markdown_code(str(look_up("data", "fingerprint"))[:16]),
        "duplicates": _duplicates(experiment),
        "parts": _parts(experiment),
        "confidence": f"{100 * (look_up('test', 'intervals', 'confidence') or 0.95):g}",
        "resampled": resampled(
            *(look_up("test", "intervals", key) for key in ("unit", "num_units"))
        ),
        "figures": _figures(experiment),
        "error_before": number(look_up("calibration", "before", *error)),
        "error_after": number(look_up("calibration", "after", *error)),
        "calibration_note": NOTES.get(look_up("calibration", "method"), NOTES[None]),
        "thresholds": _thresholds(experiment),
        "limits": "\n".join(f"- {for_markdown(line)}" for line in limits(experiment)),
        "packages": ", ".join(f"{name} {version}" for name, version in packages),
        "commit": f"{commit.get('commit')}{' (with changes)' if commit.get('changed') else ''}",
        "processor": hardware.get("accelerator") or hardware.get("processor"),
        "data_licence": DATA_LICENCES.get(source, f"source {source}, licence not recorded."),
        "weights_licence": f"initialised from {weights['source']}{pretrained}; licence: {licence}."
        if weights.get("source")
        else "trained from scratch, from random numbers.",
    }


def _duplicates(experiment: Experiment) -> str:
    """How many there are, and that they are kept together where that is known."""
    if experiment.look_up("config", "data", "group_duplicates") is False:
        return ""
    pairs = f"; {experiment.look_up('data', 'num_duplicate_pairs') or 0} pairs of near-duplicates"
    kept = experiment.look_up("data", "split", "num_straddling_groups") == 0
    return f"{pairs}, both images of a pair in the same part" if kept else pairs


def _parts(experiment: Experiment) -> str:
    names, parts = experiment.class_names, experiment.look_up("data", "split", "parts") or {}
    rows = [["part", "images", "clean", *map(class_title, names)]]
    for part in [part for part in ("train", "validation", "test") if part in parts]:
        counts = parts[part].get("class_counts") or {}
        rows.append([part, parts[part].get("num_images"), parts[part].get("clean")])
        rows[-1] += [counts.get(name) for name in names]
    return markdown(rows)


def _figures(experiment: Experiment) -> str:
    look_up, tables = experiment.look_up, []
    keys = [(class_title(name), ("per_class", name)) for name in experiment.class_names]
    for part, title in (("test", "At 0.5"), ("test_at_thresholds", "At the thresholds below")):
        rows = [["class", "support", *(METRIC_TITLES[metric] for metric in FIGURES)]]
        for name, where in (*keys, ("macro", ("macro",))):
            support = look_up(part, *where, "support")
            rows.append([name, "" if support is None else support])
            for metric in FIGURES:
                bounds = look_up(part, "intervals", *where, metric)
                rows[-1].append(with_bounds(look_up(part, *where, metric), bounds))
        if look_up(part):
            tables.append(f"{title}:\n\n{markdown(rows)}")
    return "\n\n".join(tables)


def _thresholds(experiment: Experiment) -> str:
    scaling = experiment.look_up("calibration", "scaling") or {}
    rows = [["class", "validation images", "threshold"]]
    rows[0] += ["slope", "intercept"] if scaling else []
    for name, threshold in (experiment.look_up("thresholds") or {}).items():
        fitted = (scaling.get(name) or {}).values()
        support = experiment.look_up("validation", "per_class", name, "support")
        rows.append([name, support, *(number(value, 4) for value in (threshold, *fitted))])
    return markdown(rows)


def limits(experiment: Experiment) -> list[str]:
    """Where the model must not be trusted, one sentence each."""
    look_up = experiment.look_up
    size, mode = _size(experiment), look_up("data", "resize_mode")
    taken = f"images of any size, resized to {size} ({mode})" if mode else f"images of {size} only"
    found = [
        f"Takes {taken}, and knows no defects other than its classes: what looks like none of them "
        "is called clean."
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
        if kept := look_up("threshold_basis", name, "kept"):
            found.append(f"{name}: its threshold was not chosen but stayed, because {kept}.")
        if unmet := look_up("threshold_basis", name, "unmet"):
            found.append(f"{name}: {unmet}; its threshold is the most precise one.")
        recall = look_up("test_at_thresholds", "per_class", name, "recall")
        if recall is not None and recall < 0.5:
            found.append(f"{name}: misses more than half of its test images at its threshold.")
    if (look_up("calibration", "method") or "none") == "none":
        found.append("Not calibrated: a probability ranks images; it is not a share of defects.")
    if look_up("config", "data", "group_duplicates") is False:
        found.append("Near-duplicates were not looked for: training strips may be in the test.")
    if straddling := look_up("data", "split", "num_straddling_groups"):
        found.append(
            f"{straddling} groups of near-duplicates have images in more than one part: test "
            "figures may be too good."
        )
    if (look_up("test", "subset_accuracy") or 0) > SUSPICIOUS:
        found.append("Nearly every label set is right: look for training strips in the test.")
    return found


def _size(experiment: Experiment) -> str:
    return "x".join(map(str, experiment.look_up("data", "image_size") or []))
