"""Labels with the decisions of a review applied, as a table that training reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from core.data.annotations import read_label_table
from core.data.class_names import CLASS_FILE
from core.data.corrections import corrected
from core.data.label_table import LabelTable
from core.errors import InputError
from core.files.image_folders import LABEL_CSV, RUN_LENGTH_CSV
from core.files.overwriting import check_replaceable
from core.files.resizing import Resize
from core.files.run_length import encode
from core.files.tables import write_table
from core.files.writing import write_text
from core.review.overlay import of_store, write_corrections
from core.review.store import ReviewStore
from core.review.verdicts import current_verdicts

Layout = Literal["labels", "train", "corrections"]
# Images may have any sizes: no pixel of them is read.
_ANY_SIZE = Resize((64, 64), "stretch")


def export(
    store: ReviewStore,
    root: Path,
    output: Path,
    layout: Layout = "labels",
    class_names: tuple[str, ...] | None = None,
) -> str:
    """Write the decided labels, beside those that stay as given; says what was written.

    `labels` is a labels.csv; `train` a train.csv with the given masks; `corrections` the decided
    labels alone, for `data.corrections`. Nothing in `root` is changed, and no file is replaced.

    Raises:
        InputError: decisions about other data, an output in `root` or one that exists, or `train`
            for data without masks.
    """
    table = read_label_table(root, class_names, _ANY_SIZE, missing_masks="ignore")
    after = corrected(table, of_store(store))
    _check_output(root, output)
    if layout == "corrections":
        write_corrections(output, current_verdicts(store.entries()), store.fingerprint())
        return f"{output}: give it as data.corrections={output}"
    if layout == "labels":
        _write_labels(output, after)
        return f"{output}: {len(after)} images; put it beside the images as {LABEL_CSV}"
    return _write_masks(output, after)


def _check_output(root: Path, output: Path) -> None:
    if output.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"--output {output}: lies in {root}, whose labels stay as they are: give a file in "
            "another folder"
        )
    check_replaceable(output, "--output", lambda path: False)


def _write_labels(path: Path, table: LabelTable) -> None:
    rows = zip(table.image_ids, table.labels.tolist(), strict=True)
    write_table(path, ["ImageId", *table.class_names], ((name, *row) for name, row in rows))


def _write_masks(path: Path, table: LabelTable) -> str:
    """Write a train.csv; and, where labels have no mask, all labels in a labels.csv beside it."""
    if table.masks is None:
        raise InputError(
            f"--layout train: {table.root / table.source} has no masks: leave it out, for a "
            f"{LABEL_CSV}"
        )
    beside = [path.parent / CLASS_FILE]
    without = sum(map(len, table.masks.missing.values()))
    beside += [path.parent / LABEL_CSV] if without else []
    if path.name in {file.name for file in beside}:
        raise InputError(
            f"--output {path}: --layout train writes another {path.name} beside this file: give "
            f"another name, such as {RUN_LENGTH_CSV}"
        )
    for file in beside:
        check_replaceable(file, "--output: the file beside it,", lambda path: False)
    write_text(beside[0], "".join(f"{name}\n" for name in table.class_names))
    if without:
        _write_labels(beside[1], table)
    write_table(path, ["ImageId", "ClassId", "EncodedPixels"], _mask_rows(table))
    said = f"{path} and {CLASS_FILE}: put them beside the images as {RUN_LENGTH_CSV}"
    if not without:
        return said
    return (
        f"{said}. {without} labels have no mask, such as classes that were newly set: only "
        f"{beside[1]} has them; put that there too, and train with data.missing_masks=ignore"
    )


def _mask_rows(table: LabelTable) -> Iterator[tuple[str, int, str]]:
    for row, image_id in enumerate(table.image_ids):
        drawn = {column for column, _ in table.masks.codes.get(row, ())}
        if not drawn:
            continue
        masks = table.masks.stored(row)
        for column in sorted(drawn):
            yield image_id, column + 1, encode(masks[column])
