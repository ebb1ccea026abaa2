"""Names that come from data: which may name a class, and file names made of any text."""

import os
import re
from collections.abc import Iterable, Sequence

from core.errors import InputError

# What separates folders, or is not allowed in a file name, on some system.
_UNSAFE = re.compile(r'[/\\:*?"<>|]')
# Bytes: file systems allow 255 for all parts of a file name together, with a temporary file's mark.
_LONGEST, _LONGEST_OF_SEVERAL = 150, 60


def check_class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The names as a tuple, as training and every reader of a file with class names checks them.

    Raises:
        InputError: no name, or one that is repeated or has a slash, a comma, a quote or what
            cannot be printed.
    """
    if not names:
        raise InputError(f"{where}: no class names; expected at least one")
    for index, name in enumerate(names):
        usable = name.isprintable() and name == name.strip() and not set(name) & set("/\\,\"'")
        if not name or not usable:
            raise InputError(
                f"{where}: class name {name[:80]!r}; expected letters, digits, spaces, '_' or '-', "
                "without slashes, commas or quotes"
            )
        if name in names[:index]:
            raise InputError(f"{where}: class name {name[:80]!r} is given twice: name each once")
    return tuple(names)


def file_name(text: str, longest: int = _LONGEST) -> str:
    """A file name, or a part of one, of `longest` bytes at most; it never leads to another folder.

    Text that is a plain file name stays as it is.
    """
    # The range is what Python makes of the bytes of a file name that are not UTF-8.
    safe = "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else "_" for c in text)
    safe = _UNSAFE.sub("_", safe)
    # These would be a folder, or a hidden file.
    safe = re.sub(r"^\.+", "_", safe)
    return os.fsdecode(os.fsencode(safe)[:longest]) or "_"


def file_names(texts: Iterable[str]) -> dict[str, str]:
    """A file name for each text, all different, even where case makes no difference."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in dict.fromkeys(texts):
        plain = name = file_name(text, _LONGEST_OF_SEVERAL)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        names[text] = name
    return names
