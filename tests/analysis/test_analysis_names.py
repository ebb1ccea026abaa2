"""The names that core.analysis and core.metrics offer, and what importing them costs."""

import importlib
import subprocess
import sys

import pytest
from conftest import REPOSITORY

ROOMS = ("core.analysis", "core.metrics")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_that_is_offered_is_there(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_settings_and_experiments_are_read_without_what_takes_seconds_to_import():
    code = (
        "import sys; sys.path.insert(0, 'code')\n"
        "from core.metrics import EvaluationSettings\n"
        "from core.analysis import read_experiment\n"
        "print({'sklearn', 'pandas', 'torch'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "none"
