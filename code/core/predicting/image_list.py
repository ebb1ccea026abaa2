"""The images that the words of a command line mean: files, folders, globs, a list."""

import glob
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from core.data.image_folder import describe_exceptions, describe_left_out, images_below
from core.errors import InputError
from core.experiments.reading import RESULTS_FILE

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"


class ImageList:
    """The images that `words` name, in the order in which they are named.

    A folder means the images in it and in its sub-folders, sorted; a word with `*`, `?` or `[` that
    is no file is a glob, `**` included, in which a folder that exists by its name is taken as it
    is; `-` is a list on standard input, one path per line. Any other word is a file, which may be
    missing if it ends as images do. One line of the log for each folder or glob counts what is
    left out.

    Raises:
        InputError: a folder or a glob without an image, or a word that is none of these.
    """

    def __init__(self, words: Sequence[str], extensions: Sequence[str], lines: TextIO) -> None:
        self.words, self.extensions, self.lines = tuple(words), tuple(extensions), lines
        if self.words.count(STANDARD_INPUT) > 1:
            raise InputError("-: standard input can be read only once: give `-` once")
        counts = [self._count(word) for word in self.words]
        self.total = None if None in counts else sum(counts)

    def __iter__(self) -> Iterator[str]:
        for word in self.words:
            yield from self._images(word)

    def _images(self, word: str) -> Iterator[str]:
        if word == STANDARD_INPUT:
            yield from (line.rstrip("\r\n") for line in self.lines if line.strip())
        elif Path(word).is_dir():
            yield from map(str, images_below(Path(word)))
        elif _is_glob(word):
            # pathlib globs below a folder only; these may be absolute.
            found = glob.iglob(_with_folders_as_they_are(word), recursive=True)  # noqa: PTH207
            yield from sorted(path for path in found if self._is_image(path))
        else:
            yield word

    def _count(self, word: str) -> int | None:
        if word == STANDARD_INPUT:
            return None
        # As a path, an empty word (a variable that is not set) would be the current folder.
        if not word or not (_is_glob(word) or Path(word).exists() or self._is_image(word)):
            raise InputError(f"{word or repr(word)}: no such file or folder; expected images")
        if exceptions := self._exceptions(word):
            log.warning("%s", exceptions)
        count = sum(1 for _ in self._images(word))
        if not count:
            what = "folder without images" if Path(word).is_dir() else "matches no image"
            raise InputError(
                f"{word}: {what}; expected files ending in {', '.join(self.extensions)}"
            )
        return count

    def _exceptions(self, word: str) -> str | None:
        """One line on what a folder or a glob leaves out."""
        if Path(word).is_dir():
            return describe_exceptions(Path(word))
        found = glob.glob(word, recursive=True) if _is_glob(word) else ()  # noqa: PTH207
        others = [Path(path).name for path in found if not self._is_image(path)]
        return f"{word}: {describe_left_out(others)}" if others else None

    def _is_image(self, path: str) -> bool:
        return path.lower().endswith(self.extensions)


def _with_folders_as_they_are(word: str) -> str:
    """The glob, with the folders at its beginning that exist escaped: `[v2]/*.jpg`."""
    for end in reversed([place for place, letter in enumerate(word) if letter in "/\\"]):
        if Path(word[:end]).is_dir():
            return glob.escape(word[:end]) + word[end:]
    return word


def check_no_models(words: Sequence[str], advice: str) -> None:
    """Raises InputError, with what to do instead, for a model where images are expected."""
    for word in words:
        try:
            Path(word).exists()
        except OSError as error:  # a name that is too long, or a folder without permission
            raise InputError(f"{word}: {error.strerror}: name an image or a folder") from None
        is_file = word.endswith((".onnx", ".zip")) and not Path(word).is_dir()
        if is_file or (Path(word) / RESULTS_FILE).is_file():
            raise InputError(f"{word} is a model and holds no images: {advice}")


def _is_glob(word: str) -> bool:
    return glob.has_magic(word) and not Path(word).exists()
