"""What each command imports. Modules are counted, since seconds depend on the machine."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from experiment_factory import write_experiment
from predicting.test_crafted_onnx import SIZE, model

from core.command import catalogue
from core.explaining import METHOD_NAMES
from core.explaining.methods import METHODS
from core.exporting import FORMAT_NAMES
from core.exporting.exporting import INT8
from core.exporting.formats import FORMATS

HEAVY = {
    "torch", "torchvision", "timm", "sklearn", "pandas", "matplotlib", "scipy", "albumentations",
    "onnx", "onnxruntime",
}  # fmt: skip
NOT_EVEN_FOR_WORK = HEAVY - {"scipy", "onnxruntime"}
COMMANDS = [path.stem for path in sorted((REPOSITORY / "code").glob("*.py"))]
# Reports on standard error what the command had imported when it ended.
SCRIPT = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, "code")
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("imported", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def run(command: str, *words) -> tuple[int, str, set[str]]:
    """The exit code, the standard output, and the packages that were imported."""
    arguments = [sys.executable, "-c", SCRIPT, f"code/{command}.py", *map(str, words)]
    ended = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("imported ")]
    return ended.returncode, ended.stdout, set(line.split())


@pytest.fixture
def components_kept(monkeypatch):
    """As after the first command: this process has foreign modules, and would keep nothing."""
    monkeypatch.setattr(catalogue, "_is_complete", lambda: True)
    catalogue._remembered.cache_clear()
    catalogue._remembered()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_that_takes_seconds(command, components_kept):
    exit_code, output, imported = run(command, "--help")
    assert exit_code == 0
    assert "--help" in output
    assert not imported & HEAVY


@pytest.mark.parametrize(
    "words", [["loss.gama=3"], ["training.num_epochs=0"], ["--help", "loss.focal_loss"]], ids=str
)
def test_a_mistake_is_found_before_anything_that_takes_seconds(words, components_kept):
    exit_code, _, imported = run("train", *words)
    assert exit_code == (0 if "--help" in words else 2)
    assert not imported & HEAVY


@pytest.mark.slow
def test_an_exported_model_predicts_without_torch(tmp_path):
    (tmp_path / "model.onnx").write_bytes(model())
    cv2.imwrite(str(tmp_path / "strip.png"), np.full(SIZE, 51, np.uint8))
    words = [tmp_path / "model.onnx", tmp_path / "strip.png", "--output", tmp_path / "rows.csv"]
    exit_code, _, imported = run("predict", *words)
    assert exit_code == 0
    assert "0.2" in (tmp_path / "rows.csv").read_text()
    assert not imported & NOT_EVEN_FOR_WORK


@pytest.mark.slow
def test_experiments_are_compared_without_what_trains_them(tmp_path):
    for name in ("first", "second"):
        write_experiment(tmp_path, name=name)
    exit_code, output, imported = run("compare", "--results-dir", tmp_path)
    assert exit_code == 0
    assert "second" in output
    assert not imported & NOT_EVEN_FOR_WORK


def test_the_names_that_help_shows_are_those_that_exist():
    assert (*FORMATS, INT8) == FORMAT_NAMES
    assert tuple(METHODS) == METHOD_NAMES


@pytest.mark.slow
def test_an_experiment_predicts_without_what_trained_it(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "strip.png"), np.full((32, 64), 51, np.uint8))
    exit_code, _, imported = run(
        "predict", trained, tmp_path / "strip.png", "--output", tmp_path / "rows.csv"
    )
    assert exit_code == 0
    assert not imported & {"sklearn", "pandas", "matplotlib", "albumentations", "onnx", "sympy"}
