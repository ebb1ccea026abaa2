"""COCO: one JSON with images, categories and annotations of boxes, polygons or run lengths."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.data.conversion.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    ImageFiles,
    checked_size,
)
from core.data.conversion.masks import counts_of_text
from core.errors import InputError
from core.files.names import check_class_names
from core.files.reading import MEBIBYTE, read_json
from core.validation import validate

# Several times what the strips of the competition take. In memory it is twenty times as much.
_MOST_BYTES = 128 * MEBIBYTE
_LONGEST_MESSAGE = 500
Name = Annotated[str, Field(max_length=255)]
Id = int | Name


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Image(_Part):
    id: Id
    file_name: Annotated[str, Field(max_length=4096)]
    height: int
    width: int


class _Category(_Part):
    id: Id
    name: Name


class _Runs(_Part):
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    counts: list[int] | str


class _Annotation(_Part):
    image_id: Id
    category_id: Id
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    segmentation: list[list[float]] | _Runs | None = None


class _Coco(_Part):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


def read_coco(path: Path, files: ImageFiles) -> Annotations:
    """The annotations of a COCO file; classes in the order of their ids.

    Raises:
        InputError: no such JSON, ids that are repeated or point nowhere, an image that is not
            there or has another size, or a malformed outline.
    """
    coco = _parse(path)
    categories = sorted(coco.categories, key=lambda one: (isinstance(one.id, str), one.id))
    names = check_class_names([one.name for one in categories], f"{path} categories")
    numbers = {one.id: number for number, one in enumerate(categories)}
    by_image: dict[Id, list[AnnotatedObject]] = {one.id: [] for one in coco.images}
    images = {one.id: one for one in coco.images}
    if len(numbers) < len(categories) or len(images) < len(coco.images):
        raise InputError(f"{path}: an id of an image or category is given twice: name each once")
    for number, one in enumerate(coco.annotations):
        where = f"{path} annotation {number}"
        if one.image_id not in images or one.category_id not in numbers:
            raise InputError(
                f"{where}: image_id={one.image_id!r}, category_id={one.category_id!r}; expected "
                "ids of images and categories in the file: export it again"
            )
        item = _object(one, numbers[one.category_id], images[one.image_id], where)
        by_image[one.image_id].append(item)
    found = [_image(path, one, files, tuple(by_image[one.id])) for one in coco.images]
    return Annotations(path, names, tuple(found))


def _parse(path: Path) -> _Coco:
    content = read_json(path, _MOST_BYTES)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; expected a COCO file")
    try:
        return validate(_Coco, content, str(path))
    except InputError as error:
        # It quotes the value, which may be as long as the file.
        raise InputError(str(error)[:_LONGEST_MESSAGE]) from None


def _image(
    path: Path, one: _Image, files: ImageFiles, objects: tuple[AnnotatedObject, ...]
) -> AnnotatedImage:
    where = f"{path} image {one.id!r}"
    # Only the name counts: where the images were when they were annotated says nothing now.
    file = files.find(one.file_name.replace("\\", "/").rpartition("/")[2], where)
    return AnnotatedImage(file, checked_size(file, (one.height, one.width), where), objects)


def _object(one: _Annotation, category: int, image: _Image, where: str) -> AnnotatedObject:
    box = None
    if one.bbox is not None:
        left, top, width, height = one.bbox
        box = (left, top, left + width, top + height)
    if isinstance(one.segmentation, _Runs):
        if one.segmentation.size != [image.height, image.width]:
            raise InputError(
                f"{where}: segmentation.size={one.segmentation.size}; expected "
                f"[{image.height}, {image.width}], that of its image: export it again"
            )
        counts = one.segmentation.counts
        counts = counts_of_text(counts, where) if isinstance(counts, str) else tuple(counts)
        return AnnotatedObject(category, where, box, counts=counts)
    polygons = []
    for numbers in one.segmentation or []:
        if len(numbers) < 6 or len(numbers) % 2:
            raise InputError(
                f"{where}: a polygon of {len(numbers)} numbers; expected x and y of 3 or more "
                "points: mend or remove it"
            )
        polygons.append(np.reshape(np.array(numbers, float), (-1, 2)))
    return AnnotatedObject(category, where, box, tuple(polygons))
