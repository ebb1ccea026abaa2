"""Descriptors of strips kept beside the data, so that only the first start decodes for them."""

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.data.content_key import content_key
from core.data.strip_hash import StripDescriptors, strip_descriptors
from core.files.writing import replacing

log = logging.getLogger(__name__)

# Of strip_hash: raise it whenever what it computes changes.
_FORMAT = 1
_FIELDS = ("hashes", "reliefs", "steel")


def kept_descriptors(
    paths: Sequence[Path], image_size: tuple[int, int], folder: Path
) -> StripDescriptors:
    """The descriptors of `paths`, from `folder` where they were kept, else computed and kept.

    They are kept under a key over the files, so that a changed one is described anew. A folder
    that cannot be written to costs time at the next start and nothing else.

    Raises:
        InputError: an image that cannot be read, or of another size.
    """
    key = content_key(paths, _FORMAT, tuple(image_size))
    file = folder / f"descriptors_{len(paths)}_{key}.npz"
    known = _read(file, len(paths))
    if known is not None:
        return known
    descriptors = strip_descriptors(paths, image_size)
    try:
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{name: getattr(descriptors, name) for name in _FIELDS})
    except OSError as error:
        log.info(
            "%s cannot be written to (%s): strips are hashed again at the next start; "
            "data.cache_dir=DIR names another folder",
            folder,
            error.strerror,
        )
    return descriptors


def _read(file: Path, num_images: int) -> StripDescriptors | None:
    try:
        with np.load(file, allow_pickle=False) as content:
            descriptors = StripDescriptors(*(content[name] for name in _FIELDS))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return descriptors if len(descriptors) == num_images else None
