"""Errors in the code of a model or a loss, in one line that names its file and line."""

import difflib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from core.errors import InputError, defined_at, described, raised_at
from core.running.out_of_memory import is_out_of_memory

_HINTS = {
    "unsigned char": "images come as uint8: divide them by 255 first",
    "Byte": "images come as uint8: divide them by 255 first",
    "to have 3 channels, but got 1": "strips are grey: take one channel, or give data.channels=3",
    "Expected more than 1 value per channel": "batch normalisation in training mode needs more "
    "numbers: give larger images, a data.batch_size of 2 or more, or model.freeze_batch_norm=true",
    "before Module.__init__() call": "call super().__init__() first",
}
"""What to do about an error of torch's, by a part of its message."""

_LIBRARIES = {"torch", "timm"}


@contextmanager
def naming_the_line(where: str, *components: nn.Module | type[nn.Module]) -> Iterator[None]:
    """Turn an error in the code of these components into an InputError that names the line.

    Running out of memory is no such error.
    """
    try:
        yield
    except Exception as error:
        is_full = isinstance(error, RuntimeError) and is_out_of_memory(error)
        if isinstance(error, InputError) or is_full:
            raise
        built = [each for each in components if isinstance(each, nn.Module)]
        classes = [each if isinstance(each, type) else type(each) for each in components]
        inner = [type(module) for each in built for module in each.modules()]
        place = raised_at(error, _code_files([*classes, *inner])) or defined_at(classes[0])
        text = described(error)
        hints = [hint for part, hint in _HINTS.items() if part in text]
        raise InputError(": ".join([where, place, text, *hints[:1]])) from error


def check_forward(where: str, component: type[nn.Module]) -> None:
    """Raise InputError for a component without a `forward`, such as one that is misspelt."""
    if component.forward is not nn.Module.forward:
        return
    close = difflib.get_close_matches("forward", vars(component), n=1)
    place = defined_at(component, *close)
    found = f", but {close[0]}" if close else ""
    raise InputError(
        f"{where}: {place}: {component.__name__} has no method forward{found}: name it forward"
    )


def _code_files(classes: list[type]) -> set[str]:
    """The files of these classes' methods, without those of libraries."""
    own = {cls for cls in classes if cls.__module__.partition(".")[0] not in _LIBRARIES}
    functions = [inspect.unwrap(value) for cls in own for value in vars(cls).values()]
    return {f.__code__.co_filename for f in functions if inspect.isfunction(f)}
