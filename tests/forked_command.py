"""A command in a process that is forked from this one, which has imported what takes seconds."""

import logging
import multiprocessing
import os
import runpy
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path


def start_forked(script: str, *arguments: str, errors: Path) -> BaseProcess:
    """Start `python SCRIPT ARGUMENTS` as the leader of a session; `errors` is its stderr."""
    process = multiprocessing.get_context("fork").Process(
        target=_lead, args=(script, arguments, errors)
    )
    process.start()
    return process


def _lead(script: str, arguments: tuple[str, ...], errors: Path) -> None:
    os.setsid()
    for number, file in enumerate((os.devnull, errors), start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    do_script(script, *arguments)


def do_script(script: str, *arguments: str) -> None:
    """The script, as a process of its own would do it that has imported all."""
    sys.argv = [script, *arguments]
    logging.getLogger().handlers.clear()
    runpy.run_path(script, run_name="__main__")
