"""What becomes of a mistake in the data: it ends the reading, or it is noted and left out."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import InputError


class TruncatedImageError(InputError):
    """An image file without its end."""


class ImageSizeError(InputError):
    """An image of another size than all are said to have."""


class UnknownImageError(InputError):
    """A label of an image that is not in the folder."""


class MissingLabelError(InputError):
    """Images of which a layout that must name them all says nothing."""


class RepeatedLabelError(InputError):
    """The same label twice."""


class EmptyMaskError(InputError):
    """A label whose mask has no pixel."""


class Mistakes:
    """The first mistake ends the reading: what training wants."""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Around the reading of one row, annotation or image."""
        yield


class CollectedMistakes(Mistakes):
    """Mistakes are kept in `found`; what they were made in is left out, and reading goes on."""

    def __init__(self) -> None:
        self.found: list[InputError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep an InputError of what is read within."""
        try:
            yield
        except InputError as error:
            self.found.append(error)


FIRST_ENDS = Mistakes()
