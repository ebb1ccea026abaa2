"""Images of an experiment as inline pictures, with what they show and what was predicted."""

import base64
import itertools
import math
from pathlib import Path

import cv2
import numpy as np

from core.analysis.decisions import Decisions
from core.analysis.page import picture
from core.experiments.strips import ImageFolder
from core.files.escaping import for_html as escape

# As wide as the real strips: a click enlarges them to that.
PICTURE_WIDTH, MOST_PIXELS = 1600, 2_500_000
JPEG_QUALITY = 60
# Of a strip, beside those that are labelled or predicted.
MOST_TAGS = 6
_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH


def grey_image(images: ImageFolder, image_id: str) -> np.ndarray | None:
    """The image in grey, uint8 (H, W); None where there is no such readable image."""
    file = images.find(image_id)
    return None if file is None else read_grey(file)


def read_grey(file: Path) -> np.ndarray | None:
    """An image file in grey, uint8 (H, W); None where it cannot be read."""
    try:
        image = cv2.imread(str(file), _AS_STORED)
    except cv2.error:  # more pixels than are ever decoded
        return None
    if image is None or image.dtype == np.uint8:
        return image
    # Of 16 bits, of which few may be used: up to its largest value.
    return (image / max(float(image.max()), 1.0) * 255).astype(np.uint8)


def read_colour(file: Path) -> np.ndarray | None:
    """A picture of 8 bits, uint8 (H, W, 3); None where it cannot be read."""
    try:
        return cv2.imread(str(file), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than are ever decoded
        return None


def strip(image: np.ndarray | None, part: Decisions, row: int, remark: str = "") -> str:
    """A picture with its label and probabilities; classes that are wrong stand out."""
    names, labels, predicted = part.class_names, part.labels[row], part.predicted[row]
    truth = ", ".join(itertools.compress(names, labels)) or "none"
    details = [f"<span>label: <b>{escape(truth)}</b></span>"]
    details += [f"<span>{escape(remark)}</span>"] if remark else []
    probabilities = part.probabilities[row]
    shown = labels | predicted | (probabilities >= np.sort(probabilities)[-MOST_TAGS:][0])
    for c in np.flatnonzero(shown):
        style = f"tag{' wrong' if labels[c] != predicted[c] else ''}{' on' if labels[c] else ''}"
        text = f"{names[c]} {probabilities[c]:.2f}"
        details.append(f'<span class="{style}">{escape(text)}</span>')
    if not shown.all():
        rest = f"{(~shown).sum()} others at most {probabilities[~shown].max():.2f}"
        details.append(f"<span>{rest}</span>")
    return strip_figure(image, part.image_ids[row], *details)


def strip_figure(image: np.ndarray | None, image_id: str, *details: str) -> str:
    """A picture below its name and details, which are HTML."""
    url = None if image is None else data_url(image)
    shown = '<div class="absent">image not found</div>'
    if url:
        shown = f'<div class="scroll">{picture(url, image_id)}</div>'
    caption = f"<code>{escape(image_id)}</code>{''.join(details)}"
    return f'<figure class="strip"><figcaption>{caption}</figcaption>{shown}</figure>'


def reduced(image: np.ndarray, width: int = PICTURE_WIDTH, pixels: int = MOST_PIXELS) -> np.ndarray:
    """The image, at most `width` wide and of at most so many `pixels`."""
    height, full_width = image.shape[:2]
    scale = min(width / full_width, math.sqrt(pixels / (height * full_width)))
    if scale >= 1:
        return image
    size = (max(1, int(full_width * scale)), max(1, int(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def data_url(
    image: np.ndarray, width: int = PICTURE_WIDTH, pixels: int = MOST_PIXELS
) -> str | None:
    """An image, grey or colour, as a JPEG within the page; see `reduced`."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    encoded, content = cv2.imencode(".jpg", reduced(image, width, pixels), quality)
    if not encoded:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii")
