"""How a command ends: one clear line and exit code 2 for a user's mistake, 130 for Ctrl-C."""

import atexit
import errno
import gc
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pkgutil import resolve_name

from core.command.terminal import prepare_streams, show, show_error
from core.errors import EXIT_CODE, InputError
from core.files.escaping import TerminalFormatter
from core.validation import nearest

TALKATIVE = (
    "matplotlib", "PIL", "timm", "httpx", "huggingface_hub", "onnx_ir", "torch.onnx", "wandb",
)  # fmt: skip

# By their names, since a command without Hydra need not import it.
_OF_A_CONFIG = {
    "hydra.errors.HydraException",
    "omegaconf.errors.OmegaConfBaseException",
    "yaml.error.YAMLError",
}

# What the system refuses about a path that the user named.
_OF_A_PATH = {
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EROFS,
    errno.ENOSPC, errno.EDQUOT,
}  # fmt: skip

Explain = Callable[[Exception], str | None]


def run_command(
    main: Callable[[], None], explain: Explain | str = lambda error: None, doing: str = ""
) -> None:
    """Run the `main` of an entry point, with its log on standard output.

    `explain` may have a better message for an error of Hydra's; None: use Hydra's own. It may be
    given as `module:name`. `doing` is printed first, because what `main` imports can take seconds.
    """
    # What libraries make while they are imported stays: looking through it again and again for
    # garbage takes a tenth of the time that a command needs to start, and once more at its end.
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
    start_log()
    # Otherwise Hydra prints its own report of any error, and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    def explain_later(error: Exception) -> str | None:
        return (resolve_name(explain) if isinstance(explain, str) else explain)(error)

    with mistakes_in_one_line(explain_later), _leaving_no_halves():
        if doing and _shows_progress():
            show(f"Starting the {doing}; loading libraries takes some seconds")
        main()


@contextmanager
def _leaving_no_halves() -> Iterator[None]:
    """Let SIGTERM, which schedulers and services send, unwind the command before it ends it.

    The system's own way would leave files that are half written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = False

    def heed(*_: object) -> None:
        nonlocal received
        received = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if received:
            with suppress(OSError):
                sys.stdout.flush()
            signal.raise_signal(signal.SIGTERM)


def _shows_progress() -> bool:
    """Whether this is the first process of several, and prints no text such as help."""
    is_first = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    texts = r"-h|--help|--cfg|-c$|--info|-i$|--hydra-help|--version"
    return is_first and not any(re.match(texts, word) for word in sys.argv[1:])


def start_log() -> None:
    """Send the log to standard output."""
    prepare_streams()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(TerminalFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.WARNING)
    # It warns about each node that it leaves unchanged.
    logging.getLogger("onnxscript").setLevel(logging.ERROR)


@contextmanager
def mistakes_in_one_line(explain: Explain = lambda error: None) -> Iterator[None]:
    """End the process with one line on standard error for a mistake that the user can correct.

    Also used inside the task that Hydra calls: Hydra prints the overrides and a traceback for an
    exception that reaches it, but lets a SystemExit pass.
    """
    try:
        yield
    except InputError as error:
        _leave(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_A_PATH and error.filename is not None:
            path = os.fsdecode(error.filename)
            _leave(f"{path}: {error.strerror}: give another path, or make this one usable")
        kinds = {f"{cls.__module__}.{cls.__name__}" for cls in type(error).__mro__}
        if not kinds & _OF_A_CONFIG and not _is_of_options(error):
            raise
        _leave(explain(error) or _unknown_option(error) or one_line(error))


def _is_of_options(error: Exception) -> bool:
    """Whether Hydra itself refuses its options, such as two that exclude each other."""
    frames = list(traceback.walk_tb(error.__traceback__))
    raised_in = frames[-1][0].f_globals.get("__name__", "")
    return type(error) is ValueError and raised_in.startswith("hydra.")


def _unknown_option(error: Exception) -> str | None:
    """For Hydra's complaint that a group has no such option: the options, and the nearest."""
    match = re.search(
        r"Could not find '(.+)/([^/']+)'\n+Available options.*\n((?:\t.*\n?)*)", str(error)
    )
    if match is None:
        return None
    group, name, options = match.groups()
    known = options.split()
    return f"{group}={name}: no such {group}{nearest(name, known)}; known: {', '.join(known)}"


def one_line(error: Exception) -> str:
    """What a Hydra or OmegaConf error says, on one line, without the types that OmegaConf adds."""
    lines = []
    for line in str(error).splitlines():
        if line.strip() and not line.strip().startswith(("object_type", "reference_type")):
            lines.append(line.strip())
    text = ". ".join(line.rstrip(".!") for line in lines)
    return f"{text}. `--help` lists every key and its default"


def _leave(message: str) -> None:
    show_error(f"error: {message}")
    sys.exit(EXIT_CODE)
