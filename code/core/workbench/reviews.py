"""What the server keeps of reviews: the lists of experiments, and the stores of decisions."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import InputError, UnavailableError
from core.files.escaping import for_terminal
from core.review.store import ReviewStore
from core.workbench.answers import find
from core.workbench.index import ExperimentIndex, Found
from core.workbench.rested import Rested, signature_of
from core.workbench.review_lists import Order, ReviewList, read_review_list
from core.workbench.summary import shown

# A list of 12,568 strips takes some 15 MB.
_MOST_LISTS = 6
_MOST_STORES = 8
_FOLDER = "reviews"


class Reviews:
    """The lists of experiments, and the stores of the decisions about their data sets."""

    def __init__(
        self, index: ExperimentIndex, ask: Callable[..., Any], decisions: Path | None = None
    ) -> None:
        """`ask` calls what takes long in another process.

        `decisions` is the store of all reviews; None: one for each data set, in the index's folder.
        """
        self._index, self._ask, self._decisions = index, ask, decisions
        self._stores: dict[Path, ReviewStore] = {}
        # By the signature of results.json too: an experiment that has changed is read again.
        self._listed = lru_cache(_MOST_LISTS)(
            lambda found, order, only: ask(read_review_list, found.path, order, only)
        )
        self._progress = Rested(_MOST_STORES)

    def list_of(self, key: str, order: Order, only: str) -> tuple[Found, ReviewList]:
        """An experiment and its list.

        Raises InputError, also where its data set was reviewed under other names of the classes, or
        HTTPException for an unknown key.
        """
        found = find(self._index, key)
        listed = self._listed(found, order, only)
        self._check_class_names(listed)
        return found, listed

    def _check_class_names(self, listed: ReviewList) -> None:
        """The fingerprint of a data set says nothing of names, and decisions are known by them."""
        path, own = self.path_for(listed.fingerprint), listed.class_names
        if not path.is_file():
            return
        try:
            store = self._opened(path, create=False)
            known = store.class_names() if store.fingerprint() == listed.fingerprint else set()
        except InputError:  # said where the store is used
            return
        if others := known - set(own):
            raise InputError(
                f"{path}: holds decisions about the classes {', '.join(sorted(others))} of this "
                f"data set, and this experiment calls its classes {', '.join(own)}: review one "
                "with those names, or start with another --decisions FILE"
            )

    @property
    def folder(self) -> Path:
        """The folder of the stores, where no one store is given."""
        return self._index.results_dir / _FOLDER

    @property
    def decisions(self) -> Path | None:
        """The store of all reviews; None: one for each data set, in `folder`."""
        return self._decisions

    def path_for(self, fingerprint: str) -> Path:
        """Where the decisions about a data set are."""
        return store_path(self.folder, self._decisions, fingerprint)

    def stores(self) -> list[Path]:
        """The stores that there are."""
        paths = [self._decisions] if self._decisions else sorted(self.folder.glob("*.sqlite"))
        return [path for path in paths if path.is_file()]

    def store_for(self, fingerprint: str) -> ReviewStore:
        """The decisions about a data set; a new store where there is none.

        Raises InputError for a store that cannot be used, or is about another data set.
        """
        path = self.path_for(fingerprint)
        if path not in self._stores and self._decisions is None:
            _make_folder(path.parent)
        store = self._opened(path, create=True)
        if (known := store.fingerprint()) not in (None, fingerprint):
            raise InputError(
                f"{path}: holds decisions about the data set with fingerprint {known[:12]}, and "
                f"this experiment predicted {fingerprint[:12]}: start with another --decisions FILE"
            )
        return store

    def _opened(self, path: Path, create: bool) -> ReviewStore:
        if path not in self._stores:
            self._stores[path] = ReviewStore(path, create)
        return self._stores[path]

    def progress(self, fingerprint: str) -> dict[str, Any]:
        """How far the review of a data set has come, as it was some seconds ago.

        Where the store has changed it is computed again, but not for most of the time.
        """
        path = self.path_for(fingerprint)
        signature = signature_of(path)
        if signature is None:
            return read_progress(None)
        return self._progress.get(path, signature, lambda: self._ask(read_progress, path))


def store_path(folder: Path, decisions: Path | None, fingerprint: str) -> Path:
    """`decisions`, or the store of a data set in `folder`.

    Raises InputError for what is no fingerprint: it comes from a results.json, and names a file.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise InputError(
            f"data.fingerprint={fingerprint[:80]!r}: expected 64 hexadecimal digits: train again"
        )
    return decisions or folder / f"{fingerprint[:16]}.sqlite"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"{folder}: cannot be made ({error.strerror}), and decisions are kept there: start "
            "with --decisions FILE"
        ) from None


def read_progress(path: Path | None) -> dict[str, Any]:
    """How far a review has come, in the words of `corrections.py list`; without a store, nothing.

    Raises InputError for a damaged store.
    """
    if path is None:
        return {"rows": [], "notes": [], "strips": 0}
    # Imported here because it takes a second, and the server never needs it.
    from core.review.summary import summary_notes, summary_rows

    store = ReviewStore(path)
    header, *rows = summary_rows(store)
    rows = [["class", *header[1:]], *rows] if rows else []
    return {
        "rows": [[shown(cell) for cell in row] for row in rows],
        "notes": [for_terminal(note) for note in summary_notes(store)],
        "strips": store.num_strips(),
    }
