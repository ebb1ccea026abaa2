"""The names that data offers, and what importing them costs, in synthetic and augmentation too."""

import importlib
import subprocess
import sys

import pytest
from conftest import REPOSITORY

ROOMS = ("core.data",)


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
        ("from core.data import StratifiedSplitter, split_by_strategy, stratified_folds", "torch"),
        ("from core.data import DataSettings, LabelTable, read_image, read_label_table", "torch"),
        ("from core.synthetic.store import ensure_strips", "torch"),
        ("from core.augmentation.settings import AugmentationSettings", "albumentations"),
    ],
)
def test_a_name_imports_only_what_it_needs(line, heavy):
    check = f"import sys; {line}; sys.exit({heavy!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY / "code", check=True, timeout=120)
