"""Standard output and standard error: what may be printed there."""

import sys

from core.files.escaping import for_terminal


def show(text: str) -> None:
    """Print text, which may quote files, on standard output."""
    print(for_terminal(text))


def show_error(text: str) -> None:
    """Print text, which may quote files, on standard error."""
    print(for_terminal(text), file=sys.stderr)
