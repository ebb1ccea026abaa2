"""Images of an experiment as inline pictures, with what they show and what was predicted."""

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from core.experiments.predictions import Predictions
from core.experiments.strips import ImageFolder
from core.metrics.scored_predictions import DEFAULT_THRESHOLD

PICTURE_WIDTH = 900
JPEG_QUALITY = 72


def read_image(images: ImageFolder, image_id: str) -> np.ndarray | None:
    """The image in grey, uint8 (H, W); None where there is no such readable image."""
    file = images.find(image_id)
    try:
        return None if file is None else cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # more pixels than are ever decoded
        return None


def picture(images: ImageFolder, image_id: str) -> str | None:
    """The image as a data URL, scaled down; None where there is no such readable image."""
    image = read_image(images, image_id)
    return None if image is None else data_url(image)


def strip(
    image_id: str,
    picture: str | None,
    labels: Sequence[bool],
    probabilities: Sequence[float],
    class_names: Sequence[str],
    remark: str = "",
) -> str:
    """A picture with its label and probabilities; classes that are mistaken at 0.5 stand out."""
    tags = []
    for name, present, probability in zip(class_names, labels, probabilities, strict=True):
        wrong = (probability >= DEFAULT_THRESHOLD) != present
        style = f"tag{' wrong' if wrong else ''}{' on' if present else ''}"
        tags.append(f'<span class="{style}">{escape(name)} {probability:.2f}</span>')
    truth = ", ".join(n for n, present in zip(class_names, labels, strict=True) if present)
    shown = (
        f'<div class="view"><img src="{picture}" alt="{escape(image_id, quote=True)}"></div>'
        if picture
        else '<div class="absent">image not found</div>'
    )
    return (
        f'<figure class="strip"><figcaption><code>{escape(image_id)}</code>'
        f"<span>label: <b>{escape(truth or 'none')}</b></span>"
        f"{f'<span>{escape(remark)}</span>' if remark else ''}{''.join(tags)}</figcaption>"
        f"{shown}</figure>"
    )


def confident_mistakes(test: Predictions, missed: bool, most: int) -> list[int]:
    """Rows whose defect is missed, or seen where none is, with the greatest confidence."""
    error = np.where(
        test.labels,
        1 - test.probabilities if missed else 0.0,
        0.0 if missed else test.probabilities,
    )
    predicted = test.probabilities >= DEFAULT_THRESHOLD
    error[predicted == test.labels] = 0
    worst = error.max(axis=1)
    return [int(row) for row in np.argsort(-worst, kind="stable")[:most] if worst[row] > 0]


def data_url(image: np.ndarray) -> str | None:
    """An image, grey or colour, as a JPEG that stands in a page, scaled down."""
    height, width = image.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii")
