"""The decided labels of a review, from its store or from a table of them."""

from collections.abc import Iterable
from pathlib import Path

from core.data.corrections import Corrections
from core.errors import InputError
from core.files.overwriting import first_line
from core.files.reading import opened
from core.files.tables import read_records, write_table
from core.review.store import ReviewStore
from core.review.verdicts import Verdict, current_verdicts

COLUMNS = ("image_id", "class_name", "given", "label", "fingerprint")
_SQLITE = b"SQLite format 3\0"
_MOST_BYTES = 1 << 30


def read_corrections(path: Path) -> Corrections:
    """The labels that were decided. A file of SQLite is a store, any other one a table.

    Raises:
        InputError: unreadable, neither of both, or damaged.
    """
    with opened(path, _MOST_BYTES) as stream:
        is_store = stream.read(len(_SQLITE)) == _SQLITE
    return of_store(ReviewStore(path)) if is_store else _of_table(path)


def of_store(store: ReviewStore) -> Corrections:
    """The labels that are decided in a store now."""
    verdicts = current_verdicts(store.entries())
    labels = {(v.image_id, v.class_name): v.label for v in verdicts if v.state == "decided"}
    return Corrections(store.path, store.fingerprint(), labels)


def write_corrections(path: Path, verdicts: Iterable[Verdict], fingerprint: str | None) -> None:
    """Write the decided labels as a table that `read_corrections` reads."""
    decided = (verdict for verdict in verdicts if verdict.state == "decided")
    rows = ((v.image_id, v.class_name, v.given, v.label, fingerprint) for v in decided)
    write_table(path, COLUMNS, rows)


def _of_table(path: Path) -> Corrections:
    labels: dict[tuple[str, str], int] = {}
    fingerprint = None
    if not first_line(path).startswith(COLUMNS[0]):
        raise InputError(
            f"{path}: expected the store of a review, or a table with the columns "
            f"{','.join(COLUMNS)}, as code/corrections.py export --layout corrections writes it"
        )
    for line, row in read_records(path, COLUMNS):
        key = row["image_id"], row["class_name"]
        if row["label"] not in ("0", "1"):
            raise InputError(f"{path} line {line}: label {row['label'][:40]!r}; expected 0 or 1")
        if key in labels:
            raise InputError(
                f"{path} line {line}: {key[0][:80]!r} and {key[1][:80]!r} stand there twice; "
                "expected one row for each image and class: remove one"
            )
        if not row["fingerprint"] or fingerprint not in (None, row["fingerprint"]):
            raise InputError(
                f"{path} line {line}: fingerprint {row['fingerprint'][:12]!r}; expected one and "
                "the same in all rows, that of the data set that was reviewed"
            )
        fingerprint, labels[key] = row["fingerprint"], int(row["label"])
    return Corrections(path, fingerprint, labels)
