"""A data set written in a layout that training reads: a table, and links to the images."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.data.checks import check_image_id
from core.data.class_names import CLASS_FILE
from core.data.conversion.annotated import AnnotatedImage, Annotations
from core.data.conversion.masks import check_inside, draw
from core.data.sources import find_sources
from core.errors import InputError
from core.files.run_length import encode
from core.files.tables import write_table
from core.files.writing import write_text

log = logging.getLogger(__name__)

MASK_TABLE, LABEL_TABLE, IMAGE_FOLDER = "train.csv", "labels.csv", "train_images"


def has_masks(annotations: Annotations, boxes_as_masks: bool) -> bool:
    """Whether every object can be drawn, so that the data set can hold masks."""
    objects = [item for image in annotations.images for item in image.objects]
    if boxes_as_masks:
        return True
    without = [item for item in objects if not item.has_outline]
    if without and len(without) < len(objects):
        log.warning(
            "%d of %d objects have no outline, such as %s: labels only; --boxes-as-masks draws "
            "their boxes",
            len(without),
            len(objects),
            without[0].where,
        )
    return bool(objects) and not without


def write_data_set(annotations: Annotations, output: Path, masks: bool, force: bool) -> Path:
    """Write the table and link the images in `output`; returns the table.

    Everything is read and checked or drawn before anything is written.

    Raises:
        InputError: an object that does not fit its image, something in `output` that would be
            overwritten or would be read with the table, or a folder that cannot be written to.
    """
    table = output / (MASK_TABLE if masks else LABEL_TABLE)
    names = annotations.class_names
    _check_output(annotations, output, table, force)
    rows = list(_mask_rows(annotations) if masks else _label_rows(annotations))
    header = ["ImageId", "ClassId", "EncodedPixels"] if masks else ["ImageId", *names]
    try:
        folder = output / IMAGE_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for image in annotations.images:
            _link(image.path, folder / image.path.name)
        if masks:
            write_text(output / CLASS_FILE, "".join(f"{name}\n" for name in names))
        write_table(table, header, rows)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"--output {output}: cannot be written ({reason})") from None
    return table


def _check_output(annotations: Annotations, output: Path, table: Path, force: bool) -> None:
    """Refuse to overwrite anything, and to mix the data set with another one."""
    written = {table} | ({output / CLASS_FILE} if table.name == MASK_TABLE else set())
    taken = sorted(path for path in written if path.exists())
    if taken and not force:
        raise InputError(f"{taken[0]} exists: give another --output, or --force to replace it")
    others = set(find_sources(output)) - {table.name} if _holds_any(output) else set()
    if others:
        raise InputError(
            f"--output {output}: holds {', '.join(sorted(others))}, other labels of the same "
            "images: remove them, or give another folder"
        )
    files: dict[str, Path] = {}
    for image in annotations.images:
        name = image.path.name
        check_image_id(name, str(annotations.source))
        if name in files:
            raise InputError(f"{annotations.source}: image {name} is annotated twice: name it once")
        files[name] = image.path.resolve()
    folder = output / IMAGE_FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if files.get(path.name) != path.resolve():
            raise InputError(
                f"{path}: is not one of the {len(files)} annotated images, and would count as one: "
                "move it away, or give another --output"
            )


def _holds_any(output: Path) -> bool:
    return any((output / name).exists() for name in (MASK_TABLE, LABEL_TABLE, "ann"))


def _link(file: Path, link: Path) -> None:
    if link.exists():
        return
    try:
        link.symlink_to(file.resolve())
    except (OSError, NotImplementedError):  # a file system without links
        shutil.copyfile(file, link)


def _label_rows(annotations: Annotations) -> Iterator[list[str | int]]:
    for image in annotations.images:
        for item in image.objects:
            check_inside(item, image.size)
        shown = {item.category for item in image.objects}
        yield [image.path.name, *(int(c in shown) for c in range(len(annotations.class_names)))]


def _mask_rows(annotations: Annotations) -> Iterator[list[str | int]]:
    for image in annotations.images:
        for category, mask in _masks(image).items():
            yield [image.path.name, category + 1, encode(mask)]


def _masks(image: AnnotatedImage) -> dict[int, np.ndarray]:
    """The mask of each class that the image shows, uint8 (height, width)."""
    masks: dict[int, np.ndarray] = {}
    for item in image.objects:
        draw(masks.setdefault(item.category, np.zeros(image.size, np.uint8)), item)
    return dict(sorted(masks.items()))
