"""Heat maps of the strips that look least like clean ones."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from core.experiments.drawing import overlay
from core.explaining.pictures import SHEET_WIDTH, captioned, contact_sheet
from core.explaining.scores import enlarge
from core.files.names import file_name
from core.files.writing import replacing
from core.novelty.score import Box

_BOX_COLOUR = (60, 110, 235)
"""Blue, green, red."""
_LARGEST_SIDE = 1600


@dataclass(order=True)
class HotStrip:
    """A scored strip. Shape: pixels uint8 (channels, height, width), heat (rows, columns)"""

    score: float
    number: int
    image: str = field(compare=False)
    is_alarm: bool = field(compare=False)
    box: Box = field(compare=False)
    heat: np.ndarray = field(compare=False)
    pixels: np.ndarray = field(compare=False)


class Hottest:
    """The strips with the highest scores of any number that are added."""

    def __init__(self, most: int) -> None:
        self.most, self._kept = most, []

    def add(self, strip: HotStrip) -> None:
        """Keep the strip where it is among the hottest; of equal scores the first stays."""
        strip.number = -strip.number
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, strip)
        else:
            heapq.heappushpop(self._kept, strip)

    def strips(self) -> list[HotStrip]:
        """The hottest first."""
        return sorted(self._kept, reverse=True)


def write_pictures(folder: Path, strips: Sequence[HotStrip]) -> None:
    """A picture of each strip with its heat map below, and hottest.jpg with all of them.

    All maps have one scale of colours, so that the same colour means the same distance.
    """
    scale = (
        float(min(strip.heat.min() for strip in strips)),
        float(max(strip.heat.max() for strip in strips)),
    )
    blocks = []
    for place, strip in enumerate(strips, start=1):
        picture = _picture(strip, scale)
        _write(folder / f"{place:02d}_{file_name(Path(strip.image).stem)}.jpg", picture)
        blocks.append([_at_most(picture, SHEET_WIDTH)])
    _write(folder / "hottest.jpg", contact_sheet(blocks))


def _picture(strip: HotStrip, scale: tuple[float, float]) -> np.ndarray:
    pixels = strip.pixels.transpose(1, 2, 0)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.shape[2] == 3 else pixels[..., 0]
    plain = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_GRAY2BGR)
    x, y, width, height = strip.box
    plain = cv2.rectangle(plain.copy(), (x, y), (x + width - 1, y + height - 1), _BOX_COLOUR, 2)
    heat = overlay(grey, enlarge(strip.heat, grey.shape), None, scale)
    both = [_at_most(each, _LARGEST_SIDE) for each in (plain, heat)]
    joined = np.concatenate(both, axis=0 if grey.shape[1] > grey.shape[0] else 1)
    decision = "alarm" if strip.is_alarm else "no alarm"
    return captioned(joined, f"{Path(strip.image).name}   score {strip.score:.4g}   {decision}")


def _at_most(picture: np.ndarray, width: int) -> np.ndarray:
    """The picture, no wider than this."""
    if picture.shape[1] <= width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _write(path: Path, picture: np.ndarray) -> None:
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())
