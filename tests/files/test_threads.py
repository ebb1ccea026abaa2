"""A function over items in threads: in order, not far ahead, and ended promptly."""

import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest
from conftest import REPOSITORY

from core.files.threads import map_ahead, map_in_threads


def test_results_come_in_the_order_of_the_items():
    turn = threading.Barrier(2)

    def doubled(number):
        turn.wait(timeout=60)  # two at a time, whoever is first
        return 2 * number

    assert list(map_in_threads(doubled, range(40), num_threads=2)) == list(range(0, 80, 2))
    assert list(map_in_threads(doubled, [])) == []


def test_no_more_is_begun_than_a_few_results_ahead():
    begun = []

    def endless():
        while True:
            begun.append(len(begun))
            yield begun[-1]

    results = map_in_threads(abs, endless(), num_threads=2, ahead=3)
    for taken in range(20):
        assert next(results) == taken
        assert len(begun) <= taken + 4
    results.close()


@pytest.mark.slow
def test_after_an_error_what_has_not_begun_is_cancelled():
    begun = []

    def failing(number):
        begun.append(number)
        if number == 2:
            raise RuntimeError("stop")
        if number == 3:
            threading.Event().wait(1)  # busy while the error arrives
        return number

    with pytest.raises(RuntimeError, match="stop"):
        list(map_in_threads(failing, range(1000), num_threads=1, ahead=1000))
    assert len(begun) <= 5


def test_a_pool_of_processes_does_as_well():
    assert list(map_ahead(ProcessPoolExecutor(1), abs, [-1, -2])) == [1, 2]


BAR = """
from core.files.threads import map_in_threads
print(list(map_in_threads(abs, [-1], bar="counting")))
"""


def test_no_bar_is_shown_off_a_terminal():
    ended = subprocess.run(
        [sys.executable, "-c", BAR], cwd=REPOSITORY / "code", capture_output=True, check=True
    )
    assert (ended.stdout, ended.stderr) == (b"[1]\n", b"")
