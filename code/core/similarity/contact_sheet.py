"""A picture of queries with their nearest images beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from core.data.images import ImageFormat, read_image
from core.explaining.pictures import GAP, PAPER, SHEET_WIDTH, captioned, contact_sheet
from core.files.writing import replacing
from core.similarity.retrieval import set_name

SHEET_QUERIES = 12
# Of strips of this shape or longer, two stand beside the query.
_LONG = 4.0
_MOST_BESIDE = 5
_FRAME = 3
SAME, OTHER = (90, 170, 60), (60, 110, 235)
"""Blue, green, red: of the query's label set, or of another one."""
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Tile:
    """An image on the sheet; `same` says whether its label set is that of the query, if known."""

    image: str
    text: str
    label_set: tuple[str, ...] | None
    same: bool | None = None


def write_sheet(
    file: Path, rows: Sequence[tuple[Tile, Sequence[Tile]]], image_format: ImageFormat
) -> None:
    """Write the sheet: in each row a query on the left, its nearest images on the right."""
    height, width = image_format.size
    beside = 2 if width / height >= _LONG else _MOST_BESIDE
    beside = max(1, min(beside, max(len(found) for _, found in rows)))
    cell = SHEET_WIDTH // (beside + 1) - GAP
    draw = partial(_cell, width=cell, image_format=image_format)
    blocks = []
    for query, found in rows:
        lines = [found[start : start + beside] for start in range(0, len(found), beside)]
        right = [np.concatenate(_padded([draw(tile) for tile in line]), axis=1) for line in lines]
        widest = max(picture.shape[1] for picture in right)
        column = np.concatenate([_enlarged(picture, len(picture), widest) for picture in right])
        left = draw(query)
        tallest = max(len(left), len(column))
        both = [_enlarged(each, tallest, each.shape[1]) for each in (left, column)]
        blocks.append([np.concatenate(both, axis=1)])
    params = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", contact_sheet(blocks), params)
    with replacing(file) as temporary:
        temporary.write_bytes(content.tobytes())


def _cell(tile: Tile, width: int, image_format: ImageFormat) -> np.ndarray:
    """A captioned picture of this width and a gap to its right and below it."""
    image = read_image(Path(tile.image), *image_format)
    code = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    method = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    picture = cv2.resize(cv2.cvtColor(image, code), (width, height), interpolation=method)
    if tile.same is not None:
        colour, corner = SAME if tile.same else OTHER, (width - 1, height - 1)
        cv2.rectangle(picture, (0, 0), corner, colour, 2 * _FRAME - 1)
    shown = "" if tile.label_set is None else f"   {set_name(tile.label_set)}"
    text = f"{tile.text}   {Path(tile.image).name}{shown}"
    picture = captioned(picture, text, widest=width)
    return _enlarged(picture, len(picture) + GAP, width + GAP)


def _padded(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    tallest = max(map(len, pictures))
    return [_enlarged(picture, tallest, picture.shape[1]) for picture in pictures]


def _enlarged(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    margins = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, margins, constant_values=PAPER[0])
