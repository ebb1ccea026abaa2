"""README.md and the guide of each folder, as the tests read them."""

import re
import shlex
from pathlib import Path

from conftest import REPOSITORY

FOLDERS = ("code", "config", "experiments")
README = REPOSITORY / "README.md"


def guides() -> list[Path]:
    """README.md and then those in the folders, sorted; not those of experiments and packages."""
    found = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("README.md")]
    results = REPOSITORY / "experiments" / "results"
    return [README, *sorted(path for path in found if not path.is_relative_to(results))]


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.DOTALL)


def prose(path: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)


def code_spans(path: Path) -> list[str]:
    """What stands between backticks, line breaks as spaces."""
    spans = re.findall(r"`([^`]+)`", prose(path))
    return [" ".join(span.split()) for span in spans]


def commands() -> list[str]:
    """The commands of all guides in their order, each once."""
    found = []
    for path in guides():
        for block in blocks(path, "bash"):
            lines = (line.strip() for line in block.splitlines())
            found += [line for line in lines if line and not line.startswith("#")]
    return list(dict.fromkeys(found))


def arguments_of(command: str, script: str) -> list[str]:
    """The words behind the script of a command."""
    return shlex.split(command.partition(script)[2])


def anchors(path: Path) -> set[str]:
    """The anchors that the headings of a page have."""
    titles = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in kept}
