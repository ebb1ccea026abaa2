"""The one error type for a user's mistake, and the line of code that a mistake is at."""

import inspect
import traceback
from collections.abc import Collection
from pathlib import Path


class InputError(ValueError):
    """Bad input: a file, a key or a value that the user can correct.

    The message is one line that names the file or key, the value, what was expected and how to
    correct it. Entry points print that line and exit with `EXIT_CODE`; only a defect of the
    project itself ends in a traceback.
    """

    def __str__(self) -> str:
        return " ".join(str(self.args[0]).split()) if self.args else ""


class UnavailableError(InputError):
    """A file or a process that does not serve now: the same may succeed when it is tried again."""


EXIT_CODE = 2


def raised_at(error: BaseException, files: Collection[str]) -> str | None:
    """`FILE, line N`: the innermost line of these files that led to the error; None: no line."""
    if isinstance(error, SyntaxError) and error.filename in files:
        return _place(error.filename, error.lineno)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    return _place(frames[-1].filename, frames[-1].lineno) if frames else None


def defined_at(component: type, method: str = "") -> str:
    """`FILE, line N` of a class, or of a method if the class itself defines it."""
    code = getattr(inspect.unwrap(vars(component).get(method)), "__code__", None)
    if code is not None:
        return _place(code.co_filename, code.co_firstlineno)
    try:
        return _place(inspect.getfile(component), inspect.getsourcelines(component)[1])
    except (OSError, TypeError):  # it was defined in a shell
        return f"class {component.__qualname__}"


def described(error: BaseException) -> str:
    """The type and the message of an error, on one line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())[:200]}".removesuffix(": ")


def _place(file: str, line: int | None) -> str:
    path, here = Path(file), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}, line {line}" if line else str(shown)
