"""Pictures with captions, joined in a contact sheet."""

from collections.abc import Sequence

import numpy as np

from core.experiments.drawing import text_width, write_text

TEXT_HEIGHT, TEXT_MARGIN = 26, 6
INK, PAPER = (235, 235, 235), (32, 32, 32)
SHEET_WIDTH = 1600
# File names may have 255 letters.
WIDEST_CAPTION = 480
GAP = 6


def captioned(picture: np.ndarray, text: str, widest: int = WIDEST_CAPTION) -> np.ndarray:
    """Text above the picture: one line if it is wide enough, otherwise broken at three spaces.

    Paper beside a picture that is narrower than a phrase makes room for it, up to `widest` pixels.
    """
    lines = _lines(text, picture.shape[1] - 2 * TEXT_MARGIN)
    needed = max(text_width(line) for line in lines) + 2 * TEXT_MARGIN
    width = max(picture.shape[1], min(needed, widest))
    bars = []
    for line in lines:
        bar = np.full((TEXT_HEIGHT, width, 3), PAPER, np.uint8)
        write_text(bar, line, (TEXT_MARGIN, TEXT_HEIGHT - 8), INK)
        bars.append(bar)
    return np.concatenate([*bars, _padded(picture, picture.shape[0], width)])


def contact_sheet(blocks: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """All pictures below each other, those of one image close together; two columns if narrow."""
    widest = max(picture.shape[1] for block in blocks for picture in block)
    columns = max(1, SHEET_WIDTH // (widest + GAP))
    tiles = [_stacked(block, widest, GAP // 3) for block in blocks]
    starts = range(0, len(tiles), columns)
    rows = [_beside(tiles[start : start + columns]) for start in starts]
    return _stacked(rows, columns * (widest + GAP), 2 * GAP)


def _lines(text: str, width: int) -> list[str]:
    """As few lines as hold all phrases of the text; a phrase that is too wide has its own."""
    first, *phrases = text.split("   ")
    lines = [first]
    for phrase in phrases:
        longer = f"{lines[-1]}   {phrase}"
        if text_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(phrase)
    return lines


def _stacked(pictures: Sequence[np.ndarray], width: int, gap: int) -> np.ndarray:
    heights = [len(picture) + gap for picture in pictures]
    padded = zip(pictures, heights, strict=True)
    return np.concatenate([_padded(picture, height, width) for picture, height in padded])


def _beside(tiles: Sequence[np.ndarray]) -> np.ndarray:
    height = max(len(tile) for tile in tiles)
    return np.concatenate([_padded(tile, height, tile.shape[1] + GAP) for tile in tiles], axis=1)


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    margins = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, margins, constant_values=PAPER[0])
