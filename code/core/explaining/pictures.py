"""Pictures with captions, joined in a contact sheet."""

from collections.abc import Sequence

import cv2
import numpy as np

FONT, TEXT_HEIGHT, TEXT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 26, 0.55
TEXT_MARGIN = 6
INK, PAPER = (235, 235, 235), (32, 32, 32)
SHEET_WIDTH = 1600
GAP = 6


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """Text above the picture; letters that the font lacks become `?`.

    In one line where the picture is wide enough, else broken at three spaces.
    """
    plain = text.encode("ascii", "replace").decode()
    bars = []
    for line in _lines(plain, picture.shape[1] - 2 * TEXT_MARGIN):
        bar = np.full((TEXT_HEIGHT, picture.shape[1], 3), PAPER, np.uint8)
        place = (TEXT_MARGIN, TEXT_HEIGHT - 8)
        cv2.putText(bar, line, place, FONT, TEXT_SCALE, INK, 1, cv2.LINE_AA)
        bars.append(bar)
    return np.concatenate([*bars, picture])


def contact_sheet(blocks: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """All pictures below each other, those of one image close together; two columns if narrow."""
    widest = max(picture.shape[1] for block in blocks for picture in block)
    columns = max(1, SHEET_WIDTH // (widest + GAP))
    tiles = [_stacked(block, widest, GAP // 3) for block in blocks]
    rows = [
        _beside(tiles[start : start + columns], columns) for start in range(0, len(tiles), columns)
    ]
    return _stacked(rows, max(row.shape[1] for row in rows), 2 * GAP)


def _lines(text: str, width: int) -> list[str]:
    """As few lines as hold the parts of the text; a part that is too wide has its own."""
    first, *parts = text.split("   ")
    lines = [first]
    for part in parts:
        longer = f"{lines[-1]}   {part}"
        (pixels, _), _ = cv2.getTextSize(longer, FONT, TEXT_SCALE, 1)
        if pixels <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _stacked(pictures: Sequence[np.ndarray], width: int, gap: int) -> np.ndarray:
    parts = []
    for picture in pictures:
        margins = ((0, gap), (0, width - picture.shape[1]), (0, 0))
        parts.append(np.pad(picture, margins, constant_values=PAPER[0]))
    return np.concatenate(parts)


def _beside(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height = max(tile.shape[0] for tile in tiles)
    parts = [
        np.pad(tile, ((0, height - tile.shape[0]), (0, GAP), (0, 0)), constant_values=PAPER[0])
        for tile in tiles
    ]
    width = parts[0].shape[1] * columns
    row = np.concatenate(parts, axis=1)
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=PAPER[0])
