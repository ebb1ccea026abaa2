"""One experiment as the pages show it: as a row of the table, and in full."""

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.analysis.pretrainings import pretraining_row, starting_point
from core.analysis.ranking import TITLES, figure, figure_keys, interval
from core.analysis.text_tables import METRIC_TITLES, class_title, number, with_bounds
from core.errors import InputError, described
from core.experiments.reading import RESULTS_FILE, Experiment, flatten, read_begun, read_results
from core.files.escaping import for_terminal

# What a run writes has far less; a page with more would be of no use.
_LONGEST_TEXT = 300
_MOST_COLUMNS = 600
_MOST_EPOCHS = 20_000
_LONGEST_COMMAND = 4000
_AVERAGES = {"macro": ("macro",), "micro": ("micro",), "any defect": ("any_defect",)}
FOLDED = "cross-validation"
# Beside the figures, which have the names that compare.py sorts by.
COLUMN_TITLES = {
    "kind": "kind", "created": "created", "epochs": "epochs", "planned_epochs": "epochs planned",
    "best_epoch": "best epoch", "model": "model", "loss": "loss", "method": "method",
    "seed": "seed", "test_images": "test images", "starts_from": "starts from",
    "training_seconds": "training time", "validation_loss": "last validation loss",
    "validation_macro_f1": "last validation macro-F1", "collapsed": "collapsed",
    "probe_average_precision": "probe AP", "effective_rank": "effective rank",
} | TITLES  # fmt: skip


def read_row(path: Path) -> dict[str, Any]:
    """What the table shows of the experiment in `path`; why, if it cannot be read."""
    try:
        return _read(path, _row)
    except InputError as error:
        return {"status": "damaged", "message": shown(str(error)), "values": {}}


def read_in_full(path: Path) -> dict[str, Any]:
    """What the page of one experiment shows. Raises InputError where it cannot be read."""
    return _read(path, _page)


def _read(path: Path, make: Callable[[Experiment], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make(read_begun(path))
    except InputError:
        raise
    except Exception as error:  # whatever a hostile file brings about, the others are listed
        raise InputError(f"{path}: not the results of a run ({described(error)})") from error


def _row(one: Experiment) -> dict[str, Any]:
    facts = _facts(one)
    return {
        "status": shown(one.look_up("status") or "unknown"),
        "message": shown(one.look_up("status_message") or ""),
        # Facts first, and not to be replaced by a key of a config.
        "values": _bounded({**facts, **_figures(one), **one.config, **facts}),
    }


def _page(one: Experiment) -> dict[str, Any]:
    facts = _bounded(_facts(one))
    return {
        "facts": [[name, COLUMN_TITLES.get(name, name), facts[name]] for name in facts],
        "command": shown(one.look_up("experiment", "command") or "", _LONGEST_COMMAND),
        "figures": _figure_table(one),
        "folds": _folds(one),
        "config": _bounded(one.config),
        "history": _history(one),
    }


def kind_of(one: Experiment) -> str:
    """`classification`, `cross-validation`, or the kind that results.json names."""
    if kind := one.look_up("kind"):
        return shown(kind)
    folds = one.look_up("folds") or one.look_up("config", "training", "folds")
    return FOLDED if folds else "classification"


def shown(value: Any, longest: int = _LONGEST_TEXT) -> Any:
    """A value of a file as it may go to the page: plain, and not longer than a page can use."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and abs(value) < 1 << 53:
        return value
    text = for_terminal(str(value))
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _facts(one: Experiment) -> dict[str, Any]:
    look = one.look_up
    last = (look("history") or [{}])[-1]
    validation = last.get("validation") or {}
    facts = {
        "kind": kind_of(one),
        "created": look("experiment", "created_at"),
        "epochs": last.get("epoch"),
        "planned_epochs": look("config", "training", "num_epochs"),
        "best_epoch": look("best_epoch"),
        "model": look("config", "model", "name"),
        "loss": look("config", "loss", "type"),
        "seed": look("config", "experiment", "seed"),
        "test_images": look("test", "num_images"),
        "training_seconds": look("timings", "training_seconds"),
        "validation_loss": validation.get("loss"),
        "validation_macro_f1": validation.get("macro_f1"),
        "starts_from": starting_point(one),
    }
    if facts["kind"] == FOLDED and look("status") != "completed":
        facts |= _progress_of_folds(one)
    if one.is_pretraining:
        row = pretraining_row(one)
        facts |= {name: row[name] for name in row if name not in ("experiment", "num_images")}
        facts["epochs"] = last.get("epoch")
    return facts


def _progress_of_folds(one: Experiment) -> dict[str, Any]:
    """The epochs of all folds together, as far as they have come."""
    folds = [read_results(file.parent) for file in one.path.glob(f"fold_*/{RESULTS_FILE}")]
    histories = [fold.get("history") for fold in folds]
    planned = [one.look_up("config", "training", key) for key in ("folds", "num_epochs")]
    return {
        "epochs": sum(len(history) for history in histories if isinstance(history, list)),
        "planned_epochs": planned[0] * planned[1],
    }


def _figures(one: Experiment) -> dict[str, Any]:
    """By the names that compare.py sorts by; of other kinds, the numbers of `test`."""
    if not one.look_up("test", "macro"):
        test = one.look_up("test")
        return {
            name: value
            for name, value in (test.items() if isinstance(test, Mapping) else ())
            if isinstance(value, (int, float))
        }
    keys = figure_keys(one.class_names)
    return {name: value for name, key in keys.items() if (value := figure(one, key)) is not None}


def _figure_table(one: Experiment) -> list[list[str]]:
    """Averages and classes by metric, each with its interval; the first row is the header."""
    if not one.look_up("test", "macro"):
        figures = [[shown(name), number(value)] for name, value in _figures(one).items()]
        return [["figure", "value"], *figures] if figures else []
    classes = {class_title(name): ("per_class", name) for name in one.class_names}
    rows = [["over", *METRIC_TITLES.values()]]
    for title, place in {**_AVERAGES, **classes}.items():
        keys = [(*place, metric) for metric in METRIC_TITLES]
        rows.append([title, *(with_bounds(figure(one, key), interval(one, key)) for key in keys)])
    return rows


def _folds(one: Experiment) -> list[list[str]]:
    """The macro figures of each fold; the first row is the header."""
    folds = one.look_up("folds") or []
    rows = [["fold", *METRIC_TITLES.values()]] if folds else []
    for fold in folds:
        test = fold.get("test") or {}
        rows.append([shown(fold["name"]), *(number(test.get(metric)) for metric in METRIC_TITLES)])
    return rows


def _history(one: Experiment) -> dict[str, list[float | None]]:
    """Each curve by its name, one value an epoch; `epoch` holds their numbers."""
    records = list(one.look_up("history") or [])[-_MOST_EPOCHS:]
    flat = [_numbers(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))[:_MOST_COLUMNS]
    return {shown(name): [record.get(name) for record in flat] for name in names}


def _numbers(record: Any) -> dict[str, float | None]:
    flat = flatten(record) if isinstance(record, Mapping) else {}
    return {
        name: value
        for name, value in flat.items()
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    }


def _bounded(values: Mapping[str, Any]) -> dict[str, Any]:
    bounded = {}
    for name, value in itertools.islice(values.items(), _MOST_COLUMNS):
        with suppress(ValueError):  # an integer of more digits than Python writes
            bounded[shown(name)] = shown(value)
    return bounded
