"""Images of an experiment as inline pictures, with what they show and what was predicted."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from core.experiments.predictions import Predictions
from core.experiments.strips import ImageFolder
from core.files.escaping import for_html as escape
from core.metrics.scored_predictions import DEFAULT_THRESHOLD

PICTURE_WIDTH = 900
JPEG_QUALITY = 72
_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH


def grey_image(images: ImageFolder, image_id: str) -> np.ndarray | None:
    """The image in grey, uint8 (H, W); None where there is no such readable image."""
    file = images.find(image_id)
    try:
        image = None if file is None else cv2.imread(str(file), _AS_STORED)
    except cv2.error:  # more pixels than are ever decoded
        return None
    if image is None or image.dtype == np.uint8:
        return image
    # Of 16 bits, of which few may be used: up to its largest value.
    return (image / max(float(image.max()), 1.0) * 255).astype(np.uint8)


def strip(
    image: np.ndarray | None,
    part: Predictions,
    row: int,
    class_names: Sequence[str],
    remark: str = "",
) -> str:
    """A picture with its label and probabilities; classes that are wrong at 0.5 stand out."""
    classes = list(zip(class_names, part.labels[row], part.probabilities[row], strict=True))
    truth = ", ".join(name for name, present, _ in classes if present) or "none"
    details = [f"<span>label: <b>{escape(truth)}</b></span>"]
    details += [f"<span>{escape(remark)}</span>"] if remark else []
    for name, present, probability in classes:
        wrong = (probability >= DEFAULT_THRESHOLD) != present
        style = f"tag{' wrong' if wrong else ''}{' on' if present else ''}"
        details.append(f'<span class="{style}">{escape(name)} {probability:.2f}</span>')
    return strip_figure(image, part.image_ids[row], *details)


def strip_figure(image: np.ndarray | None, image_id: str, *details: str) -> str:
    """A picture below its name and details, which are HTML."""
    url = None if image is None else data_url(image)
    shown = '<div class="absent">image not found</div>'
    if url:
        shown = f'<div class="view"><img src="{url}" alt="{escape(image_id)}"></div>'
    caption = f"<code>{escape(image_id)}</code>{''.join(details)}"
    return f'<figure class="strip"><figcaption>{caption}</figcaption>{shown}</figure>'


def confident_mistakes(test: Predictions, missed: bool, most: int) -> list[int]:
    """Rows of the most confident mistakes: missed defects, or defects seen where there are none."""
    predicted = test.probabilities >= DEFAULT_THRESHOLD
    wrong = test.labels & ~predicted if missed else predicted & ~test.labels
    confidence = 1 - test.probabilities if missed else test.probabilities
    worst = np.where(wrong, confidence, 0).max(axis=1)
    return [int(row) for row in np.argsort(-worst, kind="stable")[:most] if worst[row] > 0]


def data_url(image: np.ndarray, width: int = PICTURE_WIDTH) -> str | None:
    """An image, grey or colour, as a JPEG within the page, at most `width` pixels wide."""
    height, full_width = image.shape[:2]
    if full_width > width:
        size = (width, max(1, round(height * width / full_width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii")
