"""The table of latencies: compiled models, and what a machine cannot run."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

import export
from benchmarks import latency_comparison
from benchmarks.latency import LeftOutError, latency_table, measure_latency
from benchmarks.latency_comparison import CACHE_VARIABLE, compiled
from core.errors import InputError
from core.exporting.parity import AT_HALF, AT_THRESHOLDS, F1Drop

pytestmark = pytest.mark.usefixtures("exported_once")


class Predictor:
    """A linear layer of an image's mean."""

    def __init__(self) -> None:
        self.model = nn.Linear(1, 2)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.model(torch.from_numpy(images).float().mean((1, 2, 3))[:, None]).numpy()


class Mean(nn.Module):
    """Of each image: little to trace, and a loop to compile."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((1, 2, 3))


@pytest.fixture
def no_compiler():
    with inductor.patch({"cpp.cxx": (None, "no-compiler")}):
        torch.compiler.reset()
        yield
    torch.compiler.reset()


@pytest.mark.slow
def test_a_compiled_model_answers_alike(tmp_path):
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("there is no C++ compiler")
    before, predictor = dict(os.environ), Predictor()
    eager = predictor.model
    ask = compiled(predictor, tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (3, 1, 4, 8), np.uint8)
    np.testing.assert_allclose(ask(images), predictor(images), rtol=1e-5)
    # It was compiled, into that folder; nothing else was changed.
    assert list(tmp_path.iterdir())
    assert predictor.model is eager
    assert os.environ.get(CACHE_VARIABLE) == before.get(CACHE_VARIABLE)


@pytest.mark.slow
def test_without_a_compiler_the_table_says_so(no_compiler, trained, tmp_path, caplog, monkeypatch):
    """And that int8 costs too much, where it does; of bfloat16, what it costs."""
    drops = {
        "ONNX Runtime int8": F1Drop(
            {AT_HALF: 0.795, AT_THRESHOLDS: 0.8}, {AT_HALF: 0.8, AT_THRESHOLDS: 0.825}
        )
    }
    other = F1Drop({AT_HALF: 0.798, AT_THRESHOLDS: 0.8}, {AT_HALF: 0.8, AT_THRESHOLDS: 0.8})
    monkeypatch.setattr(
        latency_comparison, "measure_f1_drop", lambda *given: drops.get(given[-1], other)
    )
    monkeypatch.setattr(latency_comparison, "measure_latency", partial(measure_latency, rounds=1))
    # The experiment's network takes ten seconds to trace.
    compile_model = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **how: compile_model(Mean(), **how))
    experiment = Path(shutil.copytree(trained, tmp_path / trained.name))
    with caplog.at_level("INFO"):
        export.main([str(experiment), "--latency"])
    rows = json.loads((experiment / "latency.json").read_text())["rows"]
    left_out = {(row["contender"], row["batch_size"]) for row in rows if "left_out" in row}
    assert left_out == {
        (name, size) for name in ("PyTorch compiled", "ONNX Runtime int8") for size in (1, 16)
    }
    reasons = {row["contender"]: row["left_out"] for row in rows if "left_out" in row}
    assert "C++ compiler" in reasons["PyTorch compiled"]
    assert reasons["ONNX Runtime int8"] == (
        "macro-F1 0.795 on the validation part, float32 0.800 (at the thresholds 0.800, 0.825): "
        "more than half a point is lost"
    )
    shown = {row["contender"]: row.get("macro_f1") for row in rows if "left_out" not in row}
    assert shown["PyTorch float32"] == 0.8
    assert shown["PyTorch bfloat16"] == 0.798
    assert shown["ONNX Runtime float32"] is None
    others = [row for row in rows if row["contender"] == "ONNX Runtime float32"]
    assert [row["batch_size"] for row in others] == [1, 16]
    assert max(row["max_difference"] for row in others) < 1e-4
    assert "left out: InvalidCxxCompiler" in caplog.text


@pytest.mark.slow
def test_without_the_strips_the_table_says_so(trained, tmp_path, monkeypatch):
    experiment = Path(shutil.copytree(trained, tmp_path / trained.name))
    results = json.loads((experiment / "results.json").read_text())
    results["data"]["root"] = str(tmp_path / "gone")
    (experiment / "results.json").write_text(json.dumps(results))
    ways = {}
    measured = {"contender": "PyTorch float32", "batch_size": 1, "left_out": "not measured"}
    monkeypatch.setattr(
        latency_comparison,
        "measure_latency",
        lambda given, strips: ways.update(given) or [measured],
    )
    export.main([str(experiment), "--latency"])
    images = np.zeros((1, 1, 64, 320), np.uint8)
    for rounded in ("ONNX Runtime int8", "PyTorch bfloat16"):  # what they lose is not known
        with pytest.raises(LeftOutError, match=r"gone.*--data-root"):
            ways[rounded](images)
    assert ways["PyTorch float32"](images).shape == (1, 4)
    with pytest.raises(InputError, match="elsewhere"):
        latency_comparison.compare_latency(experiment, tmp_path / "elsewhere")


def test_what_cannot_run_is_asked_once_a_batch_size():
    calls = []

    def fails(images):
        calls.append(len(images))
        raise LeftOutError("no such processor")

    def works(images):
        return np.zeros((len(images), 1))

    rows = measure_latency({"works": works, "fails": fails}, np.zeros((16, 1, 2, 2), np.uint8), 3)
    assert calls == [1, 16]
    failed = {"contender": "fails", "left_out": "no such processor"}
    assert [row for row in rows if row["contender"] == "fails"] == [
        {**failed, "batch_size": 1},
        {**failed, "batch_size": 16},
    ]
    table = latency_table(rows).splitlines()
    assert len({len(line) for line in (table[0], table[1], table[3])}) == 1
    assert table[2].endswith("fails                    left out: no such processor")
