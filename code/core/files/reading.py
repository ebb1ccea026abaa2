"""Reading of untrusted files within bounds: the size is checked before the content is read.

Links are followed, since data sets are often linked from elsewhere. What is read must be a plain
file, so that a pipe or a device never blocks a reader.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.errors import InputError

MEBIBYTE = 1 << 20
# Far more than the largest files need; a JSON of empty lists takes 20 times its size in memory.
_MOST_JSON_BYTES = 32 * MEBIBYTE
_MOST_YAML_BYTES = MEBIBYTE
_DEEPEST = 64


@contextmanager
def opened(path: Path, most_bytes: int) -> Iterator[BinaryIO]:
    """The stream of a plain file of `most_bytes` at most.

    Raises:
        InputError: it cannot be read, is no plain file, or is larger.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(
                    f"{path}: cannot be read (a pipe, socket or device); expected a plain file"
                )
            if status.st_size > most_bytes:
                raise InputError(
                    f"{path}: {status.st_size} bytes; expected at most {most_bytes} for what it "
                    "should hold: replace the file"
                )
            yield stream
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); expected a plain file") from None


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The content of a plain file.

    Raises:
        InputError: as for `opened`.
    """
    with opened(path, most_bytes) as stream:
        return stream.read(most_bytes)


def bounded_lines(stream: BinaryIO, path: Path, longest: int) -> Iterator[str]:
    """Lines of a UTF-8 text, each of `longest` bytes at most.

    Raises:
        InputError: a longer line, a NUL byte, or not UTF-8.
    """
    number = 0
    while line := stream.readline(longest + 1):
        number += 1
        if len(line) > longest:
            raise InputError(f"{path} line {number}: more than {longest} bytes; expected a row")
        if b"\0" in line:
            raise InputError(f"{path} line {number}: holds a NUL byte; expected text in UTF-8")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} line {number}: not UTF-8 ({error.reason})") from None
        yield text


def read_json(path: Path, most_bytes: int = _MOST_JSON_BYTES) -> Any:
    """The content of a strict JSON file.

    Raises:
        InputError: as for `opened`; not JSON, NaN or infinite, nested too deep, or not Unicode.
    """
    try:
        text = read_bytes(path, most_bytes).decode("utf-8-sig")
        content = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError(_too_deep(path)) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not a JSON file, perhaps cut off ({error}): export or copy it again"
        ) from None
    # Half a character can only come from an escape: UTF-8 cannot encode one.
    _check_content(content, path, with_text="\\u" in text)
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file of plain values; interpolations stay text.

    Raises:
        InputError: as for `opened`; not YAML, tags, anchors, nested too deep, or not a mapping.
    """
    content = read_bytes(path, _MOST_YAML_BYTES)
    try:
        _check_events(content, path)
        return OmegaConf.to_container(OmegaConf.create(content.decode("utf-8")))
    except RecursionError:
        raise InputError(_too_deep(path)) from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        if "maximum nesting depth" in str(error):  # libyaml's own
            raise InputError(_too_deep(path)) from None
        raise InputError(f"{path}: not a YAML file of plain values ({error})") from None


# libyaml's is ten times as fast, where PyYAML was built with it.
_EVENTS = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_events(content: bytes, path: Path) -> None:
    """Refuse, before anything is built from it, what a config never contains."""
    depth = 0
    for event in yaml.parse(content, Loader=_EVENTS):
        # An alias costs nothing here, but can fill the memory once it is copied.
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise InputError(
                f"{path} line {event.start_mark.line + 1}: a tag, anchor or alias; expected plain "
                "values, as a run writes them"
            )
        outermost = depth == 0 and isinstance(event, yaml.NodeEvent)
        if outermost and not isinstance(event, yaml.MappingStartEvent):
            raise InputError(f"{path}: holds no keys; expected keys with values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise InputError(_too_deep(path))


def _check_content(content: Any, path: Path, with_text: bool) -> None:
    level, depth = [content], 0
    while level:
        if depth > _DEEPEST:
            raise InputError(_too_deep(path))
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                if with_text and not value.isascii():
                    _check_text(value, path)
            elif kind is dict:
                below += value.values()
                if with_text:
                    below += value.keys()
            elif kind is list:
                below += value
            elif kind is float and value - value != 0:
                raise InputError(f"{path}: holds a number that is not finite; expected finite ones")
        level, depth = below, depth + 1


def _check_text(text: str, path: Path) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path}: contains {text[:40]!r}; expected Unicode text") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _too_deep(path: Path) -> str:
    return f"{path}: nested deeper than {_DEEPEST} levels; expected a file as a run writes it"


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a pipe without a writer would otherwise block for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
