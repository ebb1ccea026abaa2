"""The report of a pretraining: what was learned from what, whether it collapsed, and its curves."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.analysis.charts import Axes, Mark, Series, line_chart, look
from core.analysis.page import (
    cards,
    key_values,
    links,
    page,
    paragraph,
    picture,
    section,
    side_by_side,
)
from core.analysis.pretrainings import ENCODER_FILE, PROBE, probe_of
from core.analysis.report_figures import UNIT
from core.analysis.strips import data_url, read_colour
from core.analysis.text_tables import number
from core.experiments.reading import Experiment, flatten
from core.files.escaping import for_html as escape

# Pictures of what was learned from, by their files: a title, what to look for, what they show.
_PICTURES = {
    "view_pairs.jpg": (
        "View pairs",
        "Strips, and below each its two views. What differs between two views is what the encoder "
        "learns to ignore: make sure that no defect does.",
        "strips with their two views",
    ),
    "painted_strips.jpg": (
        "Painted strips",
        "Strips, and below each a view with painted defects, then the same with outlines of their "
        "masks. They should be about as small and as faint as real defects.",
        "strips with painted defects and their masks",
    ),
}
# (title, key in the tested figures, decimals, what it says)
_FIGURES = (
    ("effective rank", "effective_rank", 1, "directions in use"),
    ("standard deviation", "standard_deviation", 3, "about 1: even"),
    ("retrieval", "retrieval", 3, "second view nearest to the first"),
    ("pixel AP", "pixel_average_precision", 3, "pixels of painted defects"),
    ("strip AP", "strip_average_precision", 3, "strips with painted defects"),
)
# The average precision that chance has, by the figure that is compared with it.
_CHANCE = {
    "pixel_average_precision": "painted_share",
    "strip_average_precision": "painted_strip_share",
}
FILES = (
    "results.json", ENCODER_FILE, "ENCODER_CARD.md", "train.log", "config.yaml", "split.csv",
)  # fmt: skip
# The picture is as long as its strips are many; its text is to be read.
_MOST_PIXELS = 6_000_000
# (title, label of the axis, figures of an epoch with their titles, range)
_CHARTS: tuple[tuple[str, str, dict[str, str], tuple[float, float] | None], ...] = (
    ("Loss", "loss", {"training": "train.loss", "watched images": "validation.loss"}, None),
    ("Effective rank", "directions", {"rank": "validation.effective_rank"}, None),
    ("Standard deviation", "deviation", {"deviation": "validation.standard_deviation"}, None),
    ("Retrieval of the second view", "share", {"retrieval": "validation.retrieval"}, UNIT),
    (
        "Painted defects",
        "average precision",
        {name: f"validation.{name}_average_precision" for name in ("pixel", "strip")},
        UNIT,
    ),
    ("Linear probe", "macro AP", {"probe": f"validation.{PROBE}"}, UNIT),
)


def render_pretraining(experiment: Experiment) -> str:
    """The report as HTML."""
    sections = (
        ("training", "Training", _curves(experiment)),
        *_pictures(experiment.path),
        ("use", "Going on from it", _use(experiment)),
        ("settings", "Config and environment", _settings(experiment)),
    )
    started = str(experiment.look_up("experiment", "created_at") or "").replace("T", " ")
    body = [
        f"<h1>{escape(experiment.name)}</h1>",
        paragraph(f"Pretraining, {started}", "soft"),
        links((f"#{name}", title) for name, title, _ in sections),
        _summary(experiment),
        links((quote(name), name) for name in FILES if (experiment.path / name).is_file()),
        *(section(name, title, content) for name, title, content in sections),
    ]
    return page(experiment.name, "\n".join(body))


def _summary(experiment: Experiment) -> str:
    look_up, history = experiment.look_up, experiment.look_up("history") or []
    tested = look_up("tested_epoch") or look_up("best_epoch") or len(history)
    learned = (
        f"{look_up('model', 'name')} by {look_up('method', 'type')}, seed "
        f"{look_up('experiment', 'seed')}, from {look_up('data', 'num_images')} images of "
        f"{look_up('data', 'source')} ({look_up('data', 'part')}). The encoder is that of epoch "
        f"{tested} of {len(history)}."
    )
    probe = probe_of(experiment)
    entries = [("probe, macro AP", number(probe), ["linear probe on the validation part"])]
    for name, key, decimals, what in _FIGURES:
        if (value := look_up("test", key)) is not None:
            chance = look_up("test", _CHANCE.get(key, ""))
            by_chance = [] if chance is None else [f"by chance {number(chance, decimals)}"]
            entries.append((name, number(value, decimals), [what, *by_chance]))
    said = "finds painted defects" if _is_painted(experiment) else "tells images apart"
    note = (
        f"Figures on {look_up('data', 'num_watched')} images that were not learned from. They say "
        f"whether the encoder {said}; only labels say whether it tells real defects apart."
    )
    if probe is None:
        entries, note = entries[1:], f"{note} There was no probe at this epoch."
    return (
        paragraph(learned)
        + paragraph(_collapse(experiment))
        + cards(entries)
        + paragraph(note, "soft")
    )


def _collapse(experiment: Experiment) -> str:
    """Whether the embeddings collapsed, or nothing painted was found, in a sentence."""
    if _is_painted(experiment):
        return _found(experiment)
    history = experiment.look_up("history") or []
    collapsed = [
        record["epoch"] for record in history if (record.get("validation") or {}).get("collapsed")
    ]
    if experiment.look_up("collapsed") is None:
        return "No embeddings were watched, so a collapse would not have been seen."
    if experiment.look_up("collapsed"):
        return (
            "The embeddings have collapsed: they hardly differ between images, so do not use this "
            "encoder. Pretrain again with a lower training.learning_rate, another method.name or "
            "larger batches."
        )
    if collapsed:
        return (
            "The embeddings have not collapsed at the end; they were collapsed in "
            f"{len(collapsed)} of {len(history)} epochs, the last of them epoch {collapsed[-1]}."
        )
    return "The embeddings have not collapsed in any epoch."


def _is_painted(experiment: Experiment) -> bool:
    return "strip_average_precision" in (experiment.look_up("test") or {})


def _found(experiment: Experiment) -> str:
    if experiment.look_up("collapsed"):
        return (
            "Painted defects are found no better than by chance, so do not use this encoder. "
            "Pretrain again for longer, or with a larger method.contrast or method.size."
        )
    return "Painted defects are found better than by chance."


def _curves(experiment: Experiment) -> str:
    history = [flatten(record) for record in experiment.look_up("history") or []]
    if not history:
        return paragraph("No epoch was recorded.")
    tested = experiment.look_up("tested_epoch") or experiment.look_up("best_epoch")
    marks = [Mark("epoch of the encoder", tested, style="bar")] if tested else []
    charts = []
    for title, label, keys, y_range in _CHARTS:
        series = [
            Series(name, _points(history, key), dots="probe" in key, **look(place))
            for place, (name, key) in enumerate(keys.items())
        ]
        if any(one.points for one in series):
            if y_range is None and len(keys) == 1:  # from 0, where a collapse would be
                y_range = (0.0, 1.05 * max(y for _, y in series[0].points) or 1.0)
            axes = Axes("epoch", label, y_range=y_range, x_step=1)
            charts.append(line_chart(title, series, axes, marks))
    return side_by_side(charts)


def _points(history: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """The epochs that have this figure; a probe is not taken after each."""
    points = ((float(record["epoch"]), record.get(key)) for record in history)
    return [(x, y) for x, y in points if y is not None]


def _pictures(folder: Path) -> list[tuple[str, str, str]]:
    """The sections of the pictures that are there."""
    found = []
    for name, (title, text, shown) in _PICTURES.items():
        image = read_colour(folder / name) if (folder / name).is_file() else None
        url = None if image is None else data_url(image, pixels=_MOST_PIXELS)
        if url is not None:
            sheet = f'<div class="sheet">{picture(url, shown)}</div>'
            found.append(("views", title, f"{paragraph(text)}{sheet}"))
    return found or [("views", "View pairs", paragraph("There is no picture of the strips."))]


def _use(experiment: Experiment) -> str:
    file = experiment.path / ENCODER_FILE
    model = experiment.look_up("model", "name")
    keeps_masks = _is_painted(experiment) and experiment.look_up("config", "method", "keep_head")
    masks = " model.mask_head=true" if keeps_masks else ""
    commands = (
        f"python code/train.py model.name={model}{masks} model.weights={file}",
        f"python code/find_similar.py {experiment.path} IMAGE --in FOLDER",
    )
    return "".join(f"<p><code>{escape(command)}</code></p>" for command in commands)


def _settings(experiment: Experiment) -> str:
    command = str(experiment.look_up("experiment", "command") or "")
    tables = [key_values("Config", experiment.config)]
    for title in ("Environment", "Data", "Method", "Views", "Timings"):
        tables.append(key_values(title, flatten(experiment.look_up(title.lower()) or {})))
    return f"<p><code>{escape(command)}</code></p>{''.join(tables)}"
