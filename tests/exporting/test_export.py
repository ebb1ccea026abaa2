"""Exported models: the same answers as PyTorch, without torch, and nothing half-written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY
from final_models import change_final_model
from torch import nn

import export
import predict
from benchmarks.latency import BATCH_SIZES, measure_latency
from core.command.mistakes import run_command
from core.errors import InputError
from core.exporting import formats
from core.exporting.exporting import all_or_nothing
from core.exporting.formats import FORMATS, EndToEndModel
from core.exporting.parity import NUM_STRIPS, TOLERANCE, check_parity, measure_parity
from core.metrics.scaling import Scaling
from core.predicting import bundle
from core.predicting.bundle import CHECKSUMS, LARGEST, MODEL, THRESHOLDS, open_bundle
from core.predicting.onnx_model import OnnxModel
from core.predicting.signature import Signature
from core.predicting.trained_model import TrainedModel

pytestmark = pytest.mark.slow

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
PROBABILITIES = [f"probability_{name}" for name in NAMES]
DECISIONS = [f"decision_{name}" for name in NAMES]
SCALING = {
    name: {"slope": slope, "intercept": intercept}
    for name, slope, intercept in zip(NAMES, [2, 0.5, 1.5, 1], [0.5, -1, 0, 0.25], strict=True)
}


@pytest.fixture(scope="module")
def calibrated(trained, exported_once, tmp_path_factory) -> Path:
    """A calibrated experiment with its exports: ONNX, TorchScript, and a bundle."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("export") / trained.name))
    change_final_model(folder, scaling=SCALING, scaled_thresholds=False)
    for words in (["--format", "onnx"], ["--format", "torchscript"]):
        export.main([str(folder), *words])
    export.main([str(folder), "--bundle", str(folder / "model.zip")])
    return folder


def strips_of(experiment: Path) -> Path:
    root = json.loads((experiment / "results.json").read_text())["data"]["root"]
    return Path(root) / "train_images"


def predicted(model: Path, images: Path, output: Path) -> pd.DataFrame:
    predict.main([str(model), str(images), "--output", str(output)])
    return pd.read_csv(output)


def test_onnx_and_bundle_predict_what_the_experiment_does(calibrated, tmp_path):
    images = strips_of(calibrated)
    expected = predicted(calibrated, images, tmp_path / "experiment.csv")
    for name in ("model.onnx", "model.zip"):
        found = predicted(calibrated / name, images, tmp_path / f"{name}.csv")
        difference = (found[PROBABILITIES] - expected[PROBABILITIES]).abs().max(axis=None)
        assert 0 < difference < 1e-5
        others = [name for name in found if name not in PROBABILITIES]
        pd.testing.assert_frame_equal(found[others], expected[others])


def test_torch_is_not_imported(calibrated, tmp_path):
    """In another process, from an empty folder, as on another machine."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import predict; "
        "predict.main(sys.argv[2:]); "
        "print(sorted({'torch', 'torchvision', 'timm', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    for name in ("model.onnx", "model.zip"):
        file = shutil.copy(calibrated / name, tmp_path / name)
        words = [sys.executable, "-c", program, REPOSITORY / "code", file, strips_of(calibrated)]
        ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        count, found, *end = ended.stdout.splitlines()
        assert count == "60 images, 0 unreadable"
        assert found.startswith("found: defect_1 ")
        assert end == ["rows: predictions.csv", "[]"]


def test_parity_is_written_beside_the_file(calibrated):
    for name in ("model.onnx", "model.pt"):
        parity = json.loads((calibrated / f"{name}.parity.json").read_text())
        assert parity["num_strips"] == NUM_STRIPS
        assert parity["max_difference"] == max(parity["max_difference_per_class"].values())
        assert 0 < parity["max_difference"] <= TOLERANCE
        # The test and the validation part have 18 strips.
        assert parity["strips"] == "18 of the data set, 14 procedural"
        assert list(parity["max_difference_per_class"]) == NAMES


@pytest.mark.parametrize("format_name", ["onnx", "torchscript"])
def test_models_with_a_mask_head_are_exported_whole(format_name, compose, tiny, tmp_path):
    """Fused masks, batch normalisation and calibration included: the labels' probabilities."""
    from core.running.composition import train

    words = ["model=resnet10_slim", "model.mask_head=true", "mask_loss.type=tversky_loss"]
    kept = [word for word in tiny if not word.startswith("model")]
    settings = ["evaluation.calibration=platt", f"experiment.results_dir={tmp_path}"]
    train(compose(*kept, *words, *settings, "experiment.name=masks"))
    (experiment,) = tmp_path.glob("masks_*")
    assert json.loads((experiment / "results.json").read_text())["calibration"]["scaling"]
    assert TrainedModel(experiment).model.fusion is not None
    export.main([str(experiment), "--format", format_name])
    file = experiment / f"model{FORMATS[format_name].suffix}"
    parity = json.loads((experiment / f"{file.name}.parity.json").read_text())
    assert 0 < parity["max_difference"] <= 1e-5
    if format_name == "onnx":
        images = strips_of(experiment)
        expected = predicted(experiment, images, tmp_path / "experiment.csv")
        found = predicted(file, images, tmp_path / "onnx.csv")
        np.testing.assert_allclose(found[PROBABILITIES], expected[PROBABILITIES], atol=1e-5)
        pd.testing.assert_frame_equal(found[DECISIONS], expected[DECISIONS])


def test_torchscript_stands_alone(calibrated):
    extra = {"signature": ""}
    loaded = torch.jit.load(calibrated / "model.pt", _extra_files=extra)
    signature = Signature.from_json(extra["signature"].decode(), "model.pt")
    assert signature == OnnxModel(calibrated / "model.onnx", "model.onnx").signature
    assert loaded(torch.zeros(5, 1, 64, 320, dtype=torch.uint8)).shape == (5, 4)


def test_openvino_where_it_is_not_installed(calibrated, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(formats, "has_openvino", lambda: False)
    arguments = [str(calibrated), "--format", "openvino", "--output", str(tmp_path / "m.xml")]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: export.main(arguments))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install openvino" in line
    assert list(tmp_path.iterdir()) == []


def test_openvino_where_it_is_installed(calibrated, tmp_path):
    openvino = pytest.importorskip("openvino", reason="the optional package openvino is absent")
    file = tmp_path / "model.xml"
    export.main([str(calibrated), "--format", "openvino", "--output", str(file)])
    parity = json.loads((tmp_path / "model.xml.parity.json").read_text())
    assert 0 < parity["max_difference"] <= TOLERANCE
    names = {"model.xml", "model.bin", "model.xml.parity.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    model = openvino.Core().read_model(file)
    signature = Signature.from_json(model.get_rt_info(["signature"]).astype(str), "model.xml")
    assert signature == OnnxModel(calibrated / "model.onnx", "model.onnx").signature


def test_an_export_that_answers_otherwise_is_refused(calibrated, tmp_path, monkeypatch, capsys):
    """Here TorchScript of a model whose bias was moved by 0.01."""

    def spoilt(graph: nn.Module, example: torch.Tensor, path: Path, signature: str) -> None:
        with torch.no_grad():
            list(graph.model.parameters())[-1].add_(0.01)
            formats.write_torchscript(graph, example, path, signature)
            list(graph.model.parameters())[-1].sub_(0.01)

    kind = FORMATS["torchscript"]
    monkeypatch.setitem(FORMATS, "torchscript", formats.Format(kind.suffix, spoilt, kind.open))
    arguments = [str(calibrated), "--format", "torchscript", "--output", str(tmp_path / "m.pt")]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: export.main(arguments))
    assert ended.value.code == 2
    assert "differ by 0.0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_extreme_logits_are_calibrated_as_their_probabilities_are():
    """A sigmoid of 100 is 1, and a scaling with a small slope still tells it from 1."""
    logits = torch.tensor([[100.0], [-100.0], [3.0]])
    scaling = Scaling(np.array([0.1]), np.array([0.2]))
    trained = SimpleNamespace(model=lambda images: logits, scaling=scaling)
    expected = scaling(logits.double().sigmoid().numpy())
    found = EndToEndModel(trained)(torch.zeros(3, 1, 4, 4))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_parity_sees_a_graph_that_is_bound_to_its_batch_size():
    strips = np.random.default_rng(0).integers(0, 255, (32, 1, 4, 8), np.uint8)

    def reference(images):
        return images.mean((1, 2, 3))[:, None] / 255

    def bound(images):
        return reference(images) if len(images) == 16 else reference(images) + 0.1

    assert measure_parity(reference, reference, strips, ["a"])["max_difference"] == 0
    parity = measure_parity(reference, bound, strips, ["a"])
    assert parity["max_difference"] == pytest.approx(0.1)
    for wrong in (0.1, float("nan")):
        with pytest.raises(InputError, match="differ by"):
            check_parity({**parity, "max_difference": wrong}, "model")


def test_latency_compares_with_the_first():
    strips = np.zeros((16, 1, 4, 8), np.uint8)
    calls = []

    def contender(name, value):
        def ask(images):
            calls.append((name, len(images)))
            return np.full((len(images), 1), value)

        return ask

    contenders = {name: contender(name, value) for name, value in (("a", 0.25), ("b", 0.5))}
    rows = measure_latency(contenders, strips, rounds=2)
    assert [(row["contender"], row["batch_size"]) for row in rows] == [
        (name, size) for size in BATCH_SIZES for name in "ab"
    ]
    assert [row["max_difference"] for row in rows] == [0, 0.25, 0, 0.25]
    assert [row["times_as_fast"] for row in rows][::2] == [1, 1]
    assert all(row["first_call_seconds"] >= 0 for row in rows)
    # They take turns.
    assert [name for name, size in calls if size == 1] == list("ababab")


def rewrite(path: Path, change) -> Path:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in change(content):
            archive.writestr(name, data)
    return target


def with_right_sums(content: dict[str, bytes]) -> list[tuple[str, bytes]]:
    import hashlib

    sums = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in content.items()
        if name != CHECKSUMS
    ]
    return list({**content, CHECKSUMS: "".join(sums).encode()}.items())


def flipped(content: dict[str, bytes], name: str) -> list[tuple[str, bytes]]:
    data = bytearray(content[name])
    data[len(data) // 2] ^= 1
    return list({**content, name: bytes(data)}.items())


TAMPERED = {
    "weights changed": (lambda c: flipped(c, MODEL), f"checksum of {MODEL}"),
    "card changed": (lambda c: flipped(c, "MODEL_CARD.md"), "checksum of MODEL_CARD.md"),
    "sum left out": (lambda c: list({**c, CHECKSUMS: b""}.items()), "checksum of"),
    "path out of it": (lambda c: [*c.items(), ("../evil.py", b"")], r"'\.\./evil\.py'"),
    "absolute path": (lambda c: [*c.items(), ("/etc/passwd", b"")], "'/etc/passwd'"),
    "member more": (lambda c: [*c.items(), ("evil.pkl", b"")], "'evil.pkl'"),
    "member less": (lambda c: [e for e in c.items() if e[0] != MODEL], f"lacks {MODEL}"),
    "member twice": (lambda c: [*c.items(), (MODEL, c[MODEL])], "twice"),
    "thresholds of another": (
        lambda c: with_right_sums({**c, THRESHOLDS: c[THRESHOLDS].replace(b"0.", b"1.", 1)}),
        f"{THRESHOLDS} and {MODEL} differ",
    ),
    "no model": (lambda c: with_right_sums({**c, MODEL: b"text"}), "not a whole ONNX model"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_bundles_are_refused(name, calibrated, tmp_path):
    change, words = TAMPERED[name]
    copy = Path(shutil.copy(calibrated / "model.zip", tmp_path))
    assert open_bundle(rewrite(copy, with_right_sums)).signature.class_names == tuple(NAMES)
    with pytest.raises(InputError, match=words):
        open_bundle(rewrite(copy, change))


def test_oversized_members_are_refused(calibrated, tmp_path, monkeypatch):
    copy = Path(shutil.copy(calibrated / "model.zip", tmp_path))
    monkeypatch.setitem(bundle.LARGEST, MODEL, 1000)
    with pytest.raises(InputError, match="large; expected at most 1000"):
        open_bundle(copy)
    # A header that lies about the size: no more is read than is allowed.
    infolist = zipfile.ZipFile.infolist

    def lying(archive):
        entries = infolist(archive)
        for entry in entries:
            entry.file_size = 1
        return entries

    monkeypatch.setattr(zipfile.ZipFile, "infolist", lying)
    with pytest.raises(InputError, match="not a whole zip file"):
        open_bundle(copy)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_decompressed_without_a_bound_are_refused(kind, calibrated, tmp_path):
    copy = tmp_path / "model.zip"
    with zipfile.ZipFile(calibrated / "model.zip") as archive, zipfile.ZipFile(copy, "w") as made:
        for name in archive.namelist():
            compression = kind if name == "MODEL_CARD.md" else zipfile.ZIP_DEFLATED
            made.writestr(name, archive.read(name), compression)
    with pytest.raises(InputError, match=r"MODEL_CARD\.md is not compressed as in a bundle"):
        open_bundle(copy)


def test_a_bundle_that_is_cut_off(calibrated, tmp_path):
    file = tmp_path / "model.zip"
    content = (calibrated / "model.zip").read_bytes()
    for part in (b"", content[:100], content[: len(content) // 2]):
        file.write_bytes(part)
        with pytest.raises(InputError, match="not a whole zip file"):
            open_bundle(file)
    with pytest.raises(InputError, match="cannot be read"):
        open_bundle(tmp_path / "absent.zip")


def test_the_bundle_holds_everything_and_its_sums_are_right(calibrated, tmp_path):
    with zipfile.ZipFile(calibrated / "model.zip") as archive:
        assert set(archive.namelist()) == set(LARGEST)
        archive.extractall(tmp_path)
    ended = subprocess.run(["sha256sum", "--check", CHECKSUMS], cwd=tmp_path, capture_output=True)
    assert ended.returncode == 0
    thresholds = json.loads((tmp_path / THRESHOLDS).read_text())
    assert thresholds["class_names"] == NAMES
    assert (tmp_path / "config.yaml").read_bytes() == (calibrated / "config.yaml").read_bytes()


def test_onnx_files_of_others_are_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [tensor], [])
    graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    file = tmp_path / "other.onnx"
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), file)
    with pytest.raises(InputError, match="without the signature"):
        OnnxModel(file, str(file))
    file.write_bytes(b"no model")
    with pytest.raises(InputError, match="not a whole ONNX model"):
        OnnxModel(file, str(file))


REPLACED = {
    "--output": (["--format", "torchscript"], "model_final.pt"),
    "--bundle": ([], "data.zip"),
}


@pytest.mark.parametrize("option", REPLACED)
def test_only_an_export_is_replaced_without_force(option, calibrated, tmp_path):
    words, name = REPLACED[option]
    file = tmp_path / name
    file.write_text("precious")
    words = [str(calibrated), *words, option, str(file)]
    with pytest.raises(InputError, match=rf"{option} .*{name}: exists, and this command did not"):
        export.main(words)
    assert file.read_text() == "precious"
    export.main([*words, "--force"])
    export.main(words)  # now it is its own
    file.write_bytes(b"changed" + file.read_bytes()[7:-7] + b"changed")
    with pytest.raises(InputError, match="did not write it"):
        export.main(words)


class Branching(nn.Module):
    """Does one thing or another by the values of its images, which no ONNX graph can."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() if images.sum() > 3 else -images.float()


@pytest.mark.slow
def test_a_network_that_torch_cannot_convert_gets_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot convert this network to ONNX \(\w+: ") as caught:
        formats.write_onnx(Branching(), torch.zeros(2, 1, 4, 4), tmp_path / "model.onnx", "{}")
    assert "\n" not in str(caught.value)
    assert "--format torchscript" in str(caught.value)


def test_a_file_and_its_parity_are_put_in_place_together(tmp_path, monkeypatch):
    move, names = shutil.move, ["model.onnx", "model.onnx.parity.json"]

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        move(*args)

    def write() -> None:
        with all_or_nothing(tmp_path) as folder:
            for name in names:
                (folder / name).write_text(name)

    monkeypatch.setattr(shutil, "move", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write()
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_an_export_changes_no_other_file_of_the_experiment(calibrated, tmp_path):
    folder = Path(shutil.copytree(calibrated, tmp_path / "experiment"))
    card = folder / "MODEL_CARD.md"
    card.write_text(card.read_text() + "\nChecked by Ann.\n")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    bundle = tmp_path / "model.zip"
    export.main([str(folder), "--bundle", str(bundle)])
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with zipfile.ZipFile(bundle) as archive:
        assert archive.read(card.name).endswith(b"Checked by Ann.\n")


@pytest.mark.parametrize("name", ["model_final.pt", "checkpoints/best.pt", "checkpoints/last.pt"])
def test_no_checkpoint_is_replaced_even_with_force(name, calibrated, monkeypatch):
    before = (calibrated / name).read_bytes()
    monkeypatch.chdir((calibrated / name).parent)
    for output in (calibrated / name, Path(Path(name).name)):
        words = ["--format", "torchscript", "--output", str(output), "--force"]
        with pytest.raises(InputError, match="is a checkpoint of an experiment"):
            export.main([str(calibrated), *words])
    assert (calibrated / name).read_bytes() == before


BAD = {
    "nothing to do": ([], "--format"),
    "wrong suffix": (["--format", "onnx", "--output", "model.pt"], "ends in .onnx"),
    "bundle that is no zip": (["--bundle", "model.tar"], "ends in .zip"),
    "a name too long": (["--format", "onnx", "--output", "m" * 225 + ".onnx"], "a shorter name"),
    "a name in another code": (["--format", "onnx", "--output", "\udcff.onnx"], "valid UTF-8"),
    "strips of another data set": (["--format", "onnx", "--data-root", "."], "--data-root"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_get_one_line(name, calibrated, tmp_path, monkeypatch, capsys):
    words, expected = BAD[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: export.main([str(calibrated), *words]))
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
