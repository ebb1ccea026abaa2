"""Decisions for the tests of this room, and the command that uses them."""

import logging
import runpy
import sys

from conftest import REPOSITORY

from core.review.decisions import Decision

FINGERPRINT = "ab" * 32


def decision(image_id: str = "a.jpg", decided: str = "set", **values) -> Decision:
    """A decision of Ann on the class pit, which was not given, unless told otherwise."""
    usual = {"reviewer": "Ann", "class_name": "pit", "given": False, "fingerprint": FINGERPRINT}
    return Decision(**{**usual, "image_id": image_id, "decided": decided, **values})


def run_corrections(monkeypatch, capsys, *words: object) -> tuple[int, str]:
    """The exit code of `python code/corrections.py WORDS`, and what was printed."""
    monkeypatch.setattr(sys, "argv", ["corrections.py", *map(str, words)])
    # Each command configures logging for the standard output of its own process.
    logging.getLogger().handlers.clear()
    try:
        runpy.run_path(str(REPOSITORY / "code" / "corrections.py"), run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = int(ended.code)
    printed = capsys.readouterr()
    return code, printed.out + printed.err
