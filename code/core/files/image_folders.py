"""Which folder of a data set holds the images that a label source labels."""

from collections.abc import Iterator
from pathlib import Path

RUN_LENGTH_CSV, BITMAP_FOLDER, LABEL_CSV = "train.csv", "ann", "labels.csv"
# Label sources in the order in which they are looked for, each with its image folders.
IMAGE_FOLDERS = {
    RUN_LENGTH_CSV: ("train_images",),
    BITMAP_FOLDER: ("train_images", "img"),
    LABEL_CSV: ("train_images", "images"),
}


def image_folders(root: Path, source: str | None = None) -> Iterator[Path]:
    """The folders in `root` that may hold the images of a source, the one that is read first.

    Without a source, or with an unknown one, those of any: first of what labels them in `root`.
    """
    known = [source] if source in IMAGE_FOLDERS else list(IMAGE_FOLDERS)
    known.sort(key=lambda each: not (root / each).exists())
    for name in dict.fromkeys(name for each in known for name in IMAGE_FOLDERS[each]):
        if (root / name).is_dir():
            yield root / name
