"""A model of unknown origin predicts its first strips in a process of its own, within limits.

What a graph costs is only known by running it: it may fill the memory, or never end.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.files.reading import MEBIBYTE, opened
from core.machine.memory_limit import limit_seconds, memory_limit
from core.predicting.onnx_model import OnnxModel

# On one thread, a strip of 256x1600 takes the largest networks some seconds.
SECONDS = 120.0
# Protocol buffers end there.
LARGEST_FILE = 2048 * MEBIBYTE
# Beyond what the process has when it starts: for the runtime, per byte of the file (which is read,
# parsed and optimised), and per pixel of a strip, where several hundred channels may be alive.
MEMORY, MEMORY_PER_BYTE, MEMORY_PER_PIXEL = 2048 * MEBIBYTE, 8, 2000
BATCHES = (1, 2)
_CODE = Path(__file__).resolve().parents[2]
_STANDARD_INPUT = "-"
_PROGRAM = "from core.predicting.onnx_trial import main; main()"


def open_untrusted(source: Path | bytes, name: str) -> OnnxModel:
    """An exported model from its file or its content; messages call it `name`.

    Raises:
        InputError: not a model that code/export.py wrote, one that does not do what its signature
            says, or one whose first strips take more memory or time than any real one does.
    """
    if isinstance(source, Path):
        with opened(source, LARGEST_FILE):  # a plain file of a possible size
            pass
    place = str(source.resolve()) if isinstance(source, Path) else _STANDARD_INPUT
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _PROGRAM, place, name, str(SECONDS)],
            input=b"" if isinstance(source, Path) else source,
            capture_output=True,
            env=_environment(),
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_costly(name, f"{SECONDS:g} seconds") from None
    try:
        problem = json.loads(ended.stdout)
    except ValueError:
        if ended.returncode > 0:  # a fault of the process, and not of the model
            last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise InputError(f"{name}: cannot be tried in a process of its own ({last})") from None
        raise _too_costly(name, "the memory that there is for them") from None
    if problem:
        raise InputError(problem)
    return OnnxModel(source, name)


def _environment() -> dict[str, str]:
    """As here, with this project's code to import, and one thread: each would reserve memory."""
    paths = [str(_CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths)}


def _too_costly(name: str, what: str) -> InputError:
    return InputError(
        f"{name}: its first strips take more than {what}, which no exported model does: it is "
        "damaged or made to do harm; export it again with code/export.py"
    )


def _try(source: Path | bytes, name: str) -> None:
    """Open the model and predict two batches of noise, both within limits of memory."""
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    allowed = MEMORY + MEMORY_PER_BYTE * size
    with memory_limit(allowed):
        model = OnnxModel(source, name)
    signature = model.signature
    height, width = signature.image_size
    generator = np.random.default_rng(0)
    for count in BATCHES:
        shape = (count, signature.channels, height, width)
        with memory_limit(allowed + count * MEMORY_PER_PIXEL * height * width):
            model(generator.integers(0, 256, shape, np.uint8))


def main() -> None:
    """In the process of its own: print what is wrong with the model as JSON, or null."""
    place, name, seconds = sys.argv[1:]
    source = sys.stdin.buffer.read() if place == _STANDARD_INPUT else Path(place)
    limit_seconds(float(seconds))  # in case nobody is there any more to end it
    problem = None
    try:
        _try(source, name)
    except InputError as error:
        problem = str(error)
    except MemoryError:
        problem = str(_too_costly(name, "the memory that there is for them"))
    json.dump(problem, sys.stdout)
