"""A simulated reviewer, who decides through the addresses of a running workbench."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np

from core.command.terminal import show

_WORKBENCH = Path(__file__).resolve().parents[1] / "workbench.py"
_RIGHT = 0.9
_UNDONE_EVERY = 20
_WAIT_SECONDS = 120


@dataclass(frozen=True)
class Truth:
    """The true labels of each image, and the labels that were given wrongly."""

    class_names: tuple[str, ...]
    labels: Mapping[str, list[int]]
    flips: set[tuple[str, str]]


class Asked:
    """The addresses of a workbench, asked as its page asks them."""

    def __init__(self, address: str) -> None:
        self._base = address.partition("/login")[0]
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._open = urllib.request.build_opener(cookies).open
        self._open(address, timeout=_WAIT_SECONDS).close()

    def __call__(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        headers = {"Origin": self._base, "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content).encode()
        question = urllib.request.Request(f"{self._base}{path}", body, headers)
        with self._open(question, timeout=_WAIT_SECONDS) as answer:
            return json.load(answer)


def review(results_dir: Path, store: Path, truth: Truth, number: int, seed: int) -> None:
    """Decide on so many strips of the only experiment in `results_dir`, the most suspect first.

    Nine in ten strips get their true labels; of the others the class that is asked about is wrong,
    or any class of a blind strip. Now and then a decision is taken back and made again. What is
    decided already stays.
    """
    generator = np.random.default_rng(seed)
    with running_workbench(results_dir, store) as ask:
        while not (rows := ask("/api/experiments")["experiments"]):
            pass
        (key,) = (row["key"] for row in rows)
        about = {"key": key, "reviewer": "simulated", "count": 1}
        answer = ask("/api/review/next", about)
        done = ask(f"/api/review/progress?key={key}")["strips"]
        while done < number and answer["strips"]:
            (strip,) = answer["strips"]
            decided = {
                "request": f"{seed:08d}-{done:06d}-{generator.bytes(8).hex()}",
                "strip": strip["key"],
                "blind": strip["blind"],
                "answers": _answers(truth, strip, generator),
            }
            answer = ask("/api/review/decide", about | decided)
            done += 1
            if done % _UNDONE_EVERY == 0 and generator.random() < 0.5:
                answer = ask("/api/review/undo", about | {"number": answer["last"]["number"]})
                done -= 1
    show(f"{done} strips decided")


def _answers(truth: Truth, strip: Mapping[str, Any], generator: np.random.Generator) -> list[int]:
    answers = list(truth.labels[strip["name"]])
    column = generator.integers(len(answers))
    if generator.random() >= _RIGHT:
        answers[strip.get("column", column)] ^= 1
    return answers


@contextmanager
def running_workbench(results_dir: Path, store: Path) -> Iterator[Asked]:
    """The workbench as a process of its own, which ends with the block."""
    command = [sys.executable, str(_WORKBENCH), "--port", "0"]
    command += ["--results-dir", str(results_dir), "--decisions", str(store)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield Asked(server.stdout.readline().split()[-1])
    finally:
        server.terminate()
        server.communicate()
