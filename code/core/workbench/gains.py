"""What corrected labels are worth, for the trainings that `corrections.py gain` would pair."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from starlette.responses import Response

from core.errors import InputError
from core.experiments.reading import RESULTS_DIR, read_all
from core.files.escaping import for_terminal
from core.review.gain import MIN_STRIPS, measure
from core.review.gain_table import gain_tables, headline, notes
from core.review.pairing import CORRECTIONS, MIN_SEEDS, Pairing, find_pairings
from core.review.store import ReviewStore
from core.workbench.answers import answer
from core.workbench.index import ExperimentIndex, Found
from core.workbench.rested import Rested, signature_of
from core.workbench.reviews import Reviews, store_path
from core.workbench.summary import shown

_KIND = "classification"
_MOST_REMEMBERED = 8
_KEY = Annotated[str, Query(max_length=200)]
_Tried = tuple[tuple[str, Found], ...]


class Gains:
    """What was found for the trainings of an index, remembered while nothing changes."""

    def __init__(self, index: ExperimentIndex, ask: Callable[..., Any], reviews: Reviews) -> None:
        self._index, self._ask, self._reviews = index, ask, reviews
        self._known = Rested(_MOST_REMEMBERED)

    def has(self, key: str) -> bool:
        """Whether it is the key of an experiment."""
        self._index.keep_watching()
        return self._index.find(key) is not None

    def found(self, key: str) -> dict[str, Any]:
        """The pairings, and the figures of the one that has this experiment, or of the first."""
        tried, stores = self._trainings(), self._reviews.stores()
        found = self._remembered(tried, stores, key) if tried else {}
        own = found.get("store") or next(iter(stores), None)
        empty = {"choices": [], "problems": [], "chosen": ""}
        how = commands(own, self._index.results_dir)
        shown = {key: value for key, value in found.items() if key != "store"}
        return {**empty, **shown, "least": MIN_STRIPS, "commands": how}

    def _remembered(self, tried: _Tried, stores: Sequence[Path], key: str) -> dict[str, Any]:
        places = [(each, found.path) for each, found in tried]
        where = self._reviews.folder, self._reviews.decisions
        signatures = [signature_of(path) for path in stores]
        try:
            return self._known.get(
                (tried, key), signatures, lambda: self._ask(read_gain, places, *where, key)
            )
        except InputError as error:
            return {"problems": [for_terminal(str(error))]}

    def _trainings(self) -> _Tried:
        """Completed trainings, by key; none where not one of them has corrected labels."""
        rows = [
            row
            for row in self._index.rows()[0]
            if row["status"] == "completed" and row["values"].get("kind") == _KIND
        ]
        if not any(row["values"].get(CORRECTIONS) is not None for row in rows):
            return ()
        found = ((row["key"], self._index.find(row["key"])) for row in rows)
        return tuple((key, each) for key, each in found if each is not None)


def add_gain(app: FastAPI, gains: Gains) -> None:
    """Give the application the address of what corrected labels are worth."""

    @app.get("/api/gain")
    def gain(request: Request, key: _KEY = "") -> Response:
        if key and not gains.has(key):
            raise HTTPException(404, "No such experiment")
        return answer(request, gains.found(key))


def commands(own: Path | None, results_dir: Path) -> list[str]:
    """How to come to a gain: decided labels as a file, trainings on both, the table."""
    store, folder = (
        shlex.quote(for_terminal(str(path))) for path in (own or "DECISIONS", results_dir)
    )
    seeds, file = ",".join(map(str, range(1, MIN_SEEDS + 1))), "reviewed/corrections.csv"
    where = "" if results_dir == RESULTS_DIR else f" --results-dir {folder}"
    return [
        f"python code/corrections.py export {store} DATA_ROOT --layout corrections --output {file}",
        f"python code/train.py -m experiment.seed={seeds} {CORRECTIONS}=null,{file} "
        "data.split_strategy=file data.split_file=EXPERIMENT/split.csv",
        f"python code/corrections.py gain {store}{where}",
    ]


def read_gain(
    places: Sequence[tuple[str, Path]], folder: Path, decisions: Path | None, key: str
) -> dict[str, Any]:
    """The pairings of these trainings, and the figures of one, in words that a page may show."""
    read, _ = read_all([path for _, path in places])
    pairings, problems = find_pairings(read)
    keys = {path: each for each, path in places}
    members = [[keys[one.path] for one in (*each.given, *each.corrected)] for each in pairings]
    chosen = next((at for at, own in enumerate(members) if key in own), 0)
    found = {
        "choices": [
            {"key": own[-1], "title": shown(pairing.title)}
            for own, pairing in zip(members, pairings, strict=True)
        ],
        "problems": [for_terminal(problem) for problem in problems],
        "chosen": "",
    }
    if not pairings:
        return found
    pairing = pairings[chosen]
    store = store_path(folder, decisions, pairing.fingerprint)
    return {
        **found,
        "chosen": members[chosen][-1],
        "store": store,
        "trainings": [
            [keys[one.path], shown(one.name), keys[other.path], shown(other.name), shown(seed)]
            for one, other, seed in zip(
                pairing.given, pairing.corrected, pairing.seeds, strict=True
            )
        ],
        **_figures(pairing, store),
    }


def _figures(pairing: Pairing, store: Path) -> dict[str, Any]:
    """The sentence, the tables and the notes; or `refused`, why there are none."""
    try:
        measured = measure(pairing, ReviewStore(store))
    except InputError as error:
        return {"refused": for_terminal(str(error))}
    return {
        "headline": headline(measured),
        "tables": [
            {"title": title, "rows": [[shown(cell) for cell in row] for row in rows]}
            for title, rows in gain_tables(measured)
        ],
        "notes": [for_terminal(note) for note in notes(measured)],
    }
