"""The names that data, synthetic and augmentation offer, and what importing them costs."""

import importlib
import subprocess
import sys

import pytest
from conftest import REPOSITORY

ROOMS = ("core.data", "core.synthetic", "core.augmentation")


@pytest.mark.parametrize("room", ROOMS)
def test_every_offered_name_is_there(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises((ImportError, AttributeError), match="nothing_such"):
        importlib.import_module(f"{room}.nothing_such")
    assert not hasattr(module, "nothing_such")


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        pytest.param(
            "from core.data import StratifiedSplitter, split_by_strategy, stratified_folds",
            "torch",
            marks=pytest.mark.slow,
        ),
        ("from core.data import DataSettings, LabelTable, read_image, read_label_table", "torch"),
        ("from core.synthetic import ensure_strips, draw_strip", "torch"),
        ("from core.augmentation import AugmentationSettings", "albumentations"),
    ],
)
def test_a_name_imports_only_what_it_needs(line, heavy):
    check = f"import sys; {line}; sys.exit({heavy!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY / "code", check=True, timeout=120)
