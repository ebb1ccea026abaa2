"""The checks of a device hold, fail where they should, and its benchmark reports what it found.

With `-m cuda` they run where they are meant to; the CPU shows that the checks themselves work.
"""

import json
from contextlib import nullcontext

import pytest
import torch
from cuda_devices import CPU, each_device

import benchmark
from benchmarks import cuda_checks, device, device_checks, device_speed
from benchmarks.device_checks import CheckFailedError, NotRunError
from benchmarks.options import Options
from benchmarks.profiling import kernel_times
from core.augmentation.device import DeviceAugmentation
from core.training.precision import has_bfloat16

ALL_CHECKS = {**device_checks.CHECKS, **cuda_checks.CUDA_CHECKS}


@pytest.fixture(autouse=True)
def same_settings():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Strips and caches that the checks share."""
    return tmp_path_factory.mktemp("device")


@pytest.fixture
def hasty(monkeypatch):
    """Rows that are measured for next to no time."""
    monkeypatch.setattr(device_speed, "SECONDS_PER_ROW", 0.01)
    usual = {"image_size": (64, 320), "num_images": 24, "batch_size": 2, "model": "test_resnet"}
    return Options(**usual, device=CPU)


@pytest.mark.slow
@each_device
@pytest.mark.parametrize("name", ALL_CHECKS)
def test_the_check_holds(name, device, folder):
    if "bfloat16" in name and not has_bfloat16(device):
        pytest.skip("no instructions for bfloat16, which takes minutes without")
    try:
        assert ALL_CHECKS[name](device, folder)
    except NotRunError as reason:
        if device != CPU:
            raise
        pytest.skip(str(reason))


def test_a_check_of_augmentation_fails_where_pixels_differ(folder, monkeypatch):
    make = DeviceAugmentation.__call__

    def brighter(self, strips, draw):
        made = make(self, strips, draw)
        return made._replace(images=made.images.clamp(max=250) + 3)

    monkeypatch.setattr(DeviceAugmentation, "__call__", brighter)
    with pytest.raises(CheckFailedError, match="images differ by at most"):
        device_checks.augmentation(CPU, folder)


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ([0.5, 0.4, 0.3], "differ by at most 1.0e-01"),
        ([0.4, 0.4, 0.4], "fell by 0.0e"),
    ],
)
def test_a_check_of_parity_fails_where_losses_differ_or_nothing_is_learned(
    losses, text, folder, monkeypatch
):
    expected = [0.4, 0.4, 0.4]
    curves = iter([expected, losses])
    monkeypatch.setattr(device_checks, "NUM_STEPS", 3)
    monkeypatch.setattr(device_checks, "losses_of", lambda config: next(curves))
    with pytest.raises(CheckFailedError, match=text):
        device_checks.parity("float32", CPU, folder)


def test_states_are_compared_bit_by_bit():
    state = {"a": torch.ones(3), "b": [1, (2.0, torch.zeros(2))]}
    changed = {"a": torch.ones(3), "b": [1, (2.0, torch.tensor([0.0, 1e-30]))]}
    assert device_checks._same(state, {"a": torch.ones(3), "b": [1, (2.0, torch.zeros(2))]})
    assert not device_checks._same(state, changed)
    assert not device_checks._same(state, {"a": torch.ones(3).double(), "b": state["b"]})


def test_batches_are_doubled_until_memory_ends(hasty, folder, monkeypatch):
    def step(options, folder, size):
        if size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return lambda: None

    monkeypatch.setattr(device_speed, "our_step", step)
    monkeypatch.setattr(device_speed, "our_forward", step)
    monkeypatch.setattr(device_speed, "timm_step", lambda options, size, _: step(0, 0, 2 * size))
    monkeypatch.setattr(device_speed, "free_memory", lambda _: None)
    monkeypatch.setattr(device_speed, "wait_for", lambda _: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 1 << 30)
    on_cuda = Options(**{**vars(hasty), "device": torch.device("cuda")})
    rows = list(device_speed.batches_until_memory_ends(on_cuda, folder))
    ended = [(row["job"], row["batch_size"]) for row in rows if "outcome" in row]
    assert ("training", 8) in ended
    assert ("inference", 8) in ended
    eager = [row["batch_size"] for row in rows if row["way"] == "eager"]
    assert eager == [2, 4, 8] * 2
    timm = [row for row in rows if row["way"] == "timm's loop, --amp"]
    assert timm[-1]["strips_per_second"] > 0
    assert all(row["memory_gib"] == 1 for row in rows if "outcome" not in row)


@pytest.mark.slow
def test_speed_is_measured_of_real_steps(hasty, folder):
    rows = list(device_speed.batches_until_memory_ends(hasty, folder))
    assert [row["way"] for row in rows[:4]] == ["eager"] * 4
    assert {row["job"] for row in rows} == {"training", "inference"}
    assert all(row["strips_per_second"] > 0 for row in rows)


@pytest.mark.slow
def test_ways_to_read_the_data_are_measured(hasty, folder, monkeypatch):
    monkeypatch.setattr(device_speed, "WORKERS", 1)
    rows = {row["way"]: row for row in device_speed.with_data(hasty, folder)}
    assert len(rows) == 6
    assert all(row["strips_per_second"] > 0 for row in rows.values())
    assert all(0 <= row["data_wait_share"] < 1 for row in rows.values())


def test_the_share_of_the_roofline_is_that_of_a_known_device(hasty, monkeypatch):
    whole = {**vars(hasty), "model": "convnext_tiny_cbam", "image_size": (256, 1600)}
    on_cuda = Options(**{**whole, "device": torch.device("cuda")})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    found = device_speed.shares("training", 0.7 * 1280, on_cuda)
    assert found["share_of_roofline"] == pytest.approx(0.7)
    assert found["reaches_0.6_of_roofline"] is True
    assert found["reaches_0.8_of_roofline"] is False
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA L4")
    assert device_speed.shares("training", 100, on_cuda) == {"tflops": pytest.approx(21.84)}
    assert device_speed.shares("training", 100, hasty) == {}


def test_kernels_share_the_time_of_all():
    matrix = torch.randn(300, 300)
    rows = kernel_times(lambda: (matrix @ matrix).tanh(), CPU)
    assert {"aten::mm", "aten::tanh"} <= {row["kernel"] for row in rows}
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert [row["ms"] for row in rows] == sorted((row["ms"] for row in rows), reverse=True)


@pytest.mark.slow
def test_a_part_has_a_process_that_is_ended_in_time(hasty, tmp_path):
    assert device.rows_within(0, "checks", hasty, tmp_path) == [
        {"outcome": "not run", "text": "no time"}
    ]
    assert device.rows_within(0.5, "checks", hasty, tmp_path)[-1]["text"] == "no time"
    (row,) = device.rows_within(250, "no such part", hasty, tmp_path)
    assert row == {"outcome": "failed", "text": "KeyError: 'no such part'"}


def test_an_error_in_one_check_leaves_the_others(hasty, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("device-side assert\nand more")

    known = {"first": fail, "second": lambda *_: "found"}
    monkeypatch.setattr(device_checks, "CHECKS", known)
    monkeypatch.setattr(cuda_checks, "CUDA_CHECKS", {})
    first, second = device.rows_of("checks", hasty, tmp_path)
    assert first["outcome"] == "failed"
    assert first["text"] == "RuntimeError: device-side assert"
    assert second == {"check": "second", "outcome": "passed", "text": "found"}


@pytest.mark.parametrize("outcome", ["passed", "failed", "not run"])
def test_it_writes_all_rows_and_fails_if_a_part_failed(tmp_path, capsys, monkeypatch, outcome):
    seconds = []

    def found(left, part, *_):
        seconds.append(left)
        return [{"outcome": outcome if part == "data" else "passed", "text": f"of {part}"}]

    monkeypatch.setattr(device, "rows_within", found)
    file = tmp_path / "device.json"
    ended = pytest.raises(SystemExit) if outcome == "failed" else nullcontext()
    with ended as raised:
        benchmark.main(["device", "--device", "cpu", "--minutes", "2", "--output", str(file)])
    if outcome == "failed":
        assert raised.value.code == 1
    content, printed = json.loads(file.read_text()), capsys.readouterr().out
    assert [row["part"] for row in content["rows"]] == list(device.PARTS)
    assert [row["outcome"] for row in content["rows"]].count(outcome) >= 1
    assert all(f"of {part}" in printed for part in device.PARTS)
    assert seconds == sorted(seconds)
    assert seconds[-1] <= 120
