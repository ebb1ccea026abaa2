"""Standard output and standard error: what may be printed there, and to whom."""

import errno
import io
import os
import sys

from core.files.escaping import for_terminal

# What a system says where nobody reads any more; the second is Windows'.
_NOT_READ = (errno.EPIPE, errno.EINVAL)


def show(text: str) -> None:
    """Print text, which may quote files, on standard output."""
    print(for_terminal(text), flush=True)


def show_error(text: str) -> None:
    """Print text, which may quote files, on standard error."""
    print(for_terminal(text), file=sys.stderr)


def prepare_streams() -> None:
    """Let both streams take any text, and lose it where nobody reads: `--help | head`.

    The command goes on, since its work is what it writes to files. Letters that the terminal's
    encoding lacks are shown in Python's notation. A stream that something else has replaced stays.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper and stream is getattr(sys, f"__{name}__"):
            is_terminal, encoding = stream.line_buffering, stream.encoding
            patient = _PatientStream(
                stream.detach(),
                encoding,
                errors="backslashreplace",
                line_buffering=is_terminal,
                write_through=name == "stderr",
            )
            setattr(sys, name, patient)
            setattr(sys, f"__{name}__", patient)


class _PatientStream(io.TextIOWrapper):
    """A stream that goes on, to nowhere, once its reader has left."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._leave(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._leave(error)

    def _leave(self, error: OSError) -> None:
        if error.errno not in _NOT_READ:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
