"""The label table of a data set with the classes of a trained model, matched by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from core.data.annotations import read_label_table
from core.data.class_names import CLASS_FILE
from core.data.label_table import LabelTable
from core.data.sources import find_sources
from core.errors import InputError
from core.files.image_folders import RUN_LENGTH_CSV
from core.files.resizing import Resize, Size


def read_model_labels(
    root: Path,
    class_names: Sequence[str],
    trained_on: str | None,
    image_size: Size | Resize,
    on_bad_image: Literal["error", "skip"] = "error",
) -> LabelTable:
    """The data set in `root` with the classes of a model that was trained on source `trained_on`.

    A train.csv numbers its classes and may name none. Where the model was trained on such a
    table, ClassId n is its class n. The order of classes in another source says nothing about it.
    Labels without a mask are accepted, since only explanations use masks, where there are any.

    Raises:
        InputError: as for `read_label_table`; classes other than those of the model.
    """
    given = names_to_read(root, class_names, trained_on)
    table = read_label_table(root, given, image_size, on_bad_image, missing_masks="ignore")
    try:
        return table.reorder_classes(class_names)
    except InputError as error:
        error.args = (f"{error}; name ClassId 1, 2, ... in {root / CLASS_FILE}, a name a line",)
        raise


def names_to_read(
    root: Path, class_names: Sequence[str], trained_on: str | None
) -> Sequence[str] | None:
    """The classes of the model, where the data set in `root` does not name its own.

    Raises InputError where there is no data set.
    """
    numbered = find_sources(root)[0] == RUN_LENGTH_CSV
    named_by_model = trained_on == RUN_LENGTH_CSV and not (root / CLASS_FILE).exists()
    return class_names if named_by_model or not numbered else None
