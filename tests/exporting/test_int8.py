"""Models in 8-bit integers: written only where they cost little, and then they say how much."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from final_models import change_final_model
from torch import nn

import export
import predict
from core.command.mistakes import run_command
from core.errors import InputError
from core.experiments.strips import Strips
from core.exporting import int8, parity
from core.exporting.formats import write_onnx
from core.exporting.int8 import write_int8, write_quantized
from core.exporting.parity import AT_HALF, AT_THRESHOLDS, F1Drop, measure_f1_drop
from core.metrics.classification import classification_metrics
from core.models.registry import get_registry
from core.predicting.onnx_model import OnnxModel
from core.predicting.stream import read_strip
from core.predicting.trained_model import TrainedModel

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]

pytestmark = pytest.mark.usefixtures("exported_once")


class WithLabels(nn.Module):
    """The logits of the images' labels alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)["logits"]


@pytest.fixture
def experiment(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


@pytest.fixture
def at_any_price(monkeypatch) -> None:
    """Two epochs on 42 strips teach little: its figures are noise."""
    monkeypatch.setattr(parity, "MOST_LOST", 1.0)


def parts(experiment: Path, part: str) -> pd.DataFrame:
    table = pd.read_csv(experiment / "split.csv")
    return table[table.split == part]


@pytest.mark.parametrize(
    ("at_half", "at_thresholds", "lost", "is_small"),
    [
        (0.80, 0.82, 0.01, False),
        (0.78, 0.90, 0.02, False),
        (0.81, 0.84, -0.01, True),
        (0.7951, 0.83, 0.0049, True),
        (0.7949, 0.83, 0.0051, False),
    ],
)
def test_what_is_lost_is_the_larger_of_both_drops(at_half, at_thresholds, lost, is_small):
    float32 = {AT_HALF: 0.80, AT_THRESHOLDS: 0.83}
    drop = F1Drop({AT_HALF: at_half, AT_THRESHOLDS: at_thresholds}, float32)
    assert drop.lost == pytest.approx(lost)
    assert drop.is_small == is_small


@pytest.mark.slow
def test_int8_is_written_with_what_it_costs(experiment, at_any_price, tmp_path):
    export.main([str(experiment), "--format", "int8"])
    file = experiment / "model.int8.onnx"
    assert not list(experiment.glob("*.plain")) + list(experiment.glob("*.float32"))
    graph = onnx.load(file).graph
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("Conv", "MatMul")]
    origin = {output: node for node in graph.node for output in node.output}
    first, *others = products
    assert origin[first.input[0]].op_type != "DequantizeLinear"
    assert others
    for node in others:
        quantized = [origin[name] for name in node.input[:2]]
        assert [node.op_type for node in quantized] == ["DequantizeLinear"] * 2
        assert weights[quantized[1].input[0]] == onnx.TensorProto.INT8
    report = json.loads((experiment / "model.int8.onnx.parity.json").read_text())
    # Undoing the gamma of the focal loss makes the network's differences as much larger.
    scaling = json.loads((experiment / "results.json").read_text())["calibration"]["scaling"]
    slope = max(row["slope"] for row in scaling.values())
    assert 1e-6 < report["max_difference"] < 0.1 * slope
    assert report["tolerance"] is None

    table = pd.read_csv(experiment / "predictions.csv").set_index("image_id").sort_index()
    table = table[table.split == "validation"]
    root = Path(json.loads((experiment / "results.json").read_text())["data"]["root"])
    images = [str(root / "train_images" / name) for name in table.index]
    predict.main([str(file), *images, "--output", str(tmp_path / "int8.csv")])
    rows = pd.read_csv(tmp_path / "int8.csv")
    assert rows.model.str.endswith("-int8").all()
    labels = table[[f"label_{name}" for name in NAMES]].to_numpy()
    probabilities = [f"probability_{name}" for name in NAMES]
    figures = report["fidelity"]
    for found, key in ((rows, "macro_f1"), (table, "macro_f1_float32")):
        metrics = classification_metrics(labels, found[probabilities].to_numpy(), NAMES)
        assert figures[key]["at_0.5"] == pytest.approx(metrics["macro"]["f1"])
    decisions = rows[[f"decision_{name}" for name in NAMES]].to_numpy()
    metrics = classification_metrics(labels, decisions, NAMES)
    assert figures["macro_f1"]["at_thresholds"] == pytest.approx(metrics["macro"]["f1"])


@pytest.mark.slow
def test_ranges_come_from_the_training_part(experiment, monkeypatch, tmp_path):
    monkeypatch.setattr(int8, "NUM_STRIPS", 5)
    trained = TrainedModel(experiment, torch.device("cpu"))
    read = []
    monkeypatch.setattr(
        int8, "read_strip", lambda *given: read.append(given[0].name) or read_strip(*given)
    )
    own = Strips(trained.experiment)
    write_quantized(trained, own, tmp_path / "m.int8.onnx")
    # And two more as examples for the graph.
    assert 5 <= len(set(read)) <= 7
    assert set(read) <= set(parts(experiment, "train").image_id)
    assert [path.name for path in tmp_path.glob("m.*")] == ["m.int8.onnx"]
    paths = own.files(own.ids("train")[:4])
    strips = np.stack([read_strip(path, trained.signature) for path in paths])
    signature = OnnxModel(tmp_path / "m.int8.onnx", "m").signature
    assert signature.model == f"{trained.signature.model}-int8"
    assert signature.thresholds == trained.signature.thresholds
    found = OnnxModel(tmp_path / "m.int8.onnx", "m")(strips)
    np.testing.assert_allclose(found, trained(strips), atol=0.1)


@pytest.mark.slow
def test_attention_and_mask_head_stay_in_float32(tmp_path):
    """Only the convolutions of the backbone have integer weights."""
    options = {"cbam_stages": [3, 4], "mask_head": True}
    model = get_registry().instantiate("resnet10_slim", **options).eval()
    strips = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 160), np.uint8)
    write_onnx(WithLabels(model).eval(), torch.from_numpy(strips), tmp_path / "m.onnx", "")
    write_int8(tmp_path / "m.onnx", [strips[:1]], tmp_path / "m8.onnx", "")
    graph = onnx.load(tmp_path / "m8.onnx").graph
    origin = {output: node.op_type for node in graph.node for output in node.output}
    kinds = {"DequantizeLinear": 0, "other": 0}
    for node in graph.node:
        if node.op_type == "Conv":
            # By its weights: what it reads may come rounded from a convolution before it.
            quantised = origin.get(node.input[1]) == "DequantizeLinear"
            kinds["DequantizeLinear" if quantised else "other"] += 1
    convolutions = [m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)]
    attention = [m for m in model.attention.modules() if isinstance(m, nn.Conv2d)]
    head = [m for m in model.mask_head.modules() if isinstance(m, nn.Conv2d)]
    # And of the backbone's the first one.
    others = 1 + len(attention) + len(head)
    assert kinds == {"DequantizeLinear": len(convolutions) - 1, "other": others}


@pytest.mark.slow
def test_depthwise_convolutions_stay_in_float32(tmp_path):
    options = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}
    model = get_registry().instantiate(
        "timm", backbone="convnext_atto", pretrained=False, backbone_options=options
    )
    strips = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 160), np.uint8)
    write_onnx(model.eval(), torch.from_numpy(strips), tmp_path / "m.onnx", "")
    write_int8(tmp_path / "m.onnx", [strips[:1]], tmp_path / "m8.onnx", "")
    graph = onnx.load(tmp_path / "m8.onnx").graph
    origin = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantised = [node for node in convolutions if origin.get(node.input[1]) == "DequantizeLinear"]
    # The stages' three changes of scale, and two pointwise ones in each of four blocks.
    assert len(quantised) == 3 + 8
    assert len(convolutions) - len(quantised) == 1 + 4


@pytest.mark.slow
def test_int8_that_costs_too_much_is_refused(experiment, monkeypatch, capsys):
    monkeypatch.setattr(parity, "MOST_LOST", -1.0)
    before = sorted(experiment.iterdir())
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: export.main([str(experiment), "--format", "int8"]))
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "--format int8: macro-F1 0." in line
    assert "more than half a point" in line
    assert sorted(experiment.iterdir()) == before


@pytest.mark.slow
def test_int8_of_a_model_that_has_nothing_to_lose_is_refused(experiment, monkeypatch):
    nothing = {AT_HALF: 0.0, AT_THRESHOLDS: 0.0}
    monkeypatch.setattr(
        "core.exporting.exporting.measure_f1_drop", lambda *_: F1Drop(nothing, nothing)
    )
    before = sorted(experiment.iterdir())
    with pytest.raises(InputError, match=r"^--format int8: macro-F1 0\.000 .* no loss can be seen"):
        export.main([str(experiment), "--format", "int8"])
    assert sorted(experiment.iterdir()) == before


def test_int8_without_the_strips_is_refused(experiment, tmp_path, capsys):
    results = json.loads((experiment / "results.json").read_text())
    results["data"]["root"] = str(tmp_path / "gone")
    (experiment / "results.json").write_text(json.dumps(results))
    for words in ([], ["--data-root", str(tmp_path / "other")]):
        with pytest.raises(SystemExit) as ended:
            run_command(lambda words=words: export.main([str(experiment), "--format=int8", *words]))
        assert ended.value.code == 2
        assert "--data-root" in capsys.readouterr().err.splitlines()[-1]


def test_an_unreadable_strip_ends_the_scoring(experiment, tmp_path):
    trained = TrainedModel(experiment, torch.device("cpu"))
    root = Path(shutil.copytree(Strips(trained.experiment).root, tmp_path / "strips"))
    name = parts(experiment, "validation").image_id.iloc[0]
    (root / "train_images" / name).write_text("no image")
    with pytest.raises(InputError, match=name):
        measure_f1_drop(trained, Strips(trained.experiment, root), trained, "as it is")


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["auto", "none"])
def test_float32_loses_nothing(completed, tiny, tmp_path, calibration):
    path = completed(*tiny, f"evaluation.calibration={calibration}")
    experiment = shutil.copytree(path, tmp_path / path.name)
    trained = TrainedModel(experiment, torch.device("cpu"))
    strips = Strips(trained.experiment)
    drop = measure_f1_drop(trained, strips, trained, "as it is")
    assert drop.lost == 0
    results = json.loads((experiment / "results.json").read_text())
    assert drop.macro_f1[AT_HALF] == pytest.approx(results["validation"]["macro"]["f1"])
    if calibration == "auto":
        return
    # Calibrated afterwards, the same decisions at the thresholds.
    scaling = {name: {"slope": 2.0, "intercept": 0.5} for name in NAMES}
    change_final_model(experiment, scaling=scaling)
    calibrated = TrainedModel(experiment, torch.device("cpu"))
    again = measure_f1_drop(calibrated, strips, calibrated, "as it is")
    assert again.lost == 0
    assert again.macro_f1[AT_THRESHOLDS] == pytest.approx(drop.macro_f1[AT_THRESHOLDS])
