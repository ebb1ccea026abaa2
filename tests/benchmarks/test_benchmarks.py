"""Benchmarks compare like with like, and state ratios that follow from the times.

tests/test_readme.py runs each of them, as the README does.
"""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import benchmark
from benchmarks import (
    computation,
    epoch,
    frozen,
    inference,
    loader,
    measurement,
    memory,
    metrics,
    step,
    trainer,
)
from benchmarks.measurement import Contender, measure, measure_with_cpu, table
from benchmarks.options import SUBJECTS, Options
from benchmarks.profiling import operator_shares, shares_text
from benchmarks.workload import our_model
from core.errors import InputError
from core.running.computation import Computation
from core.training.precision import has_bfloat16


@pytest.fixture(autouse=True)
def same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when a contender says so."""
    now = [0.0]
    monkeypatch.setattr(measurement.time, "perf_counter", lambda: now[0])
    return now


def options(**given) -> Options:
    usual = {"image_size": (64, 320), "num_images": 24, "batch_size": 2, "model": "test_resnet"}
    return Options(**{**usual, "device": torch.device("cpu"), **given})


@pytest.mark.slow
def test_a_benchmark_prints_its_table_and_writes_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 20)
    file = tmp_path / "rows.json"
    benchmark.main(["metrics", "--rounds", "1", "--output", str(file)])
    content, printed = json.loads(file.read_text()), capsys.readouterr().out
    plain, ours = content["rows"]
    assert plain["ratio"] == 1
    assert ours["ratio"] == pytest.approx(plain["seconds_per_item"] / ours["seconds_per_item"])
    assert f"{1000 * ours['seconds_per_item']:.3f}" in printed
    assert content["options"] == {"rounds": 1}
    assert content["environment"]["packages"]["torch"] == torch.__version__
    assert f"torch {torch.__version__}" in printed
    file.write_text('{"rows": []}')
    with pytest.raises(InputError, match="did not write it"):
        benchmark.main(["metrics", "--rounds", "1", "--output", str(file)])


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_benchmark_takes_its_own_options_only(subject, capsys):
    with pytest.raises(SystemExit):
        benchmark.main([subject, "--help"])
    shown = capsys.readouterr().out
    for option in Options.__dataclass_fields__:
        listed = f"--{option.replace('_', '-')} " in shown
        assert listed == (option in SUBJECTS[subject].options)
    with pytest.raises(SystemExit) as ended:
        benchmark.main([subject, "--no-such-option"])
    assert ended.value.code == 2


def test_each_reads_the_options_that_it_takes(monkeypatch):
    asked = []
    monkeypatch.setattr(benchmark, "measure", lambda *given: asked.append(given) or [])
    monkeypatch.setattr(benchmark, "table", lambda *given: "")
    monkeypatch.setattr(loader, "contenders", lambda given, folder: [given])
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    benchmark.main(["loader", "--image-size", "64", "320", "--threads", "2"])
    threads, ((given,), rounds) = asked
    assert (threads, rounds) == (2, 5)
    assert given == Options(image_size=[64, 320], threads=2, batch_size=8)


def test_ratios_are_medians_over_rounds_in_which_all_take_turns(clock):
    order = []
    # Of each round the plain way takes 8, 4, 6, 9 seconds, and ours 9, 2, 2, 2 (first: warm-up).
    durations = iter([8, 9, 4, 2, 6, 2, 9, 2])

    def run(name: str) -> None:
        order.append(name)
        clock[0] += next(durations)

    contenders = [
        Contender("plain", lambda: run("plain"), 2),
        Contender("ours", lambda: run("ours"), 1),
    ]
    plain, ours = measure(contenders, rounds=3)
    assert order == ["plain", "ours"] * 4
    assert plain["seconds_per_item"] == 3
    assert ours["seconds_per_item"] == 2
    assert (ours["lowest"], ours["ratio"], ours["highest"]) == (1.0, 1.5, 2.25)
    printed = table([plain, ours], "strip")
    assert "2000.000" in printed
    assert "beside" not in printed


def test_a_ratio_may_be_to_another_than_the_first(clock):
    def lasting(seconds: float) -> None:
        clock[0] += seconds

    contenders = [
        Contender("plain", lambda: lasting(6), 1),
        Contender("ours", lambda: lasting(2), 1),
        Contender("more", lambda: lasting(3), 1, beside="ours"),
    ]
    rows = measure(contenders, rounds=1)
    assert [row["ratio"] for row in rows] == pytest.approx([1, 3, 2 / 3])
    assert "more (beside ours)" in table(rows, "strip")


def test_cpu_seconds_are_compared_beside_the_others(clock, monkeypatch):
    cpu = [0.0]
    monkeypatch.setattr(measurement.time, "process_time", lambda: cpu[0])

    def lasting(seconds: float, computing: float) -> None:
        clock[0] += seconds
        cpu[0] += computing

    contenders = [
        Contender("plain", lambda: lasting(6, 2), 2),
        Contender("ours", lambda: lasting(2, 1), 1),
    ]
    plain, ours = measure_with_cpu(contenders, rounds=2)
    assert (plain["ratio"], plain["cpu_ratio"]) == (1, 1)
    assert (ours["ratio"], ours["cpu_ratio"]) == pytest.approx((1.5, 1.0))
    assert "by CPU time" in table([plain, ours], "strip")


@pytest.mark.slow
def test_epochs_that_are_compared_read_the_same_strips_and_learn(tmp_path):
    bare, ours = epoch.contenders(options(), tmp_path)
    assert bare.items == ours.items
    model = bare.run.learner.model
    before = [p.detach().clone() for p in model.parameters()]
    bare.run()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    ours.run()
    (experiment,) = (tmp_path / "results").iterdir()
    # All is written when a turn ends.
    assert len(json.loads((experiment / "results.json").read_text())["history"]) == 1
    assert (experiment / "checkpoints" / "last.pt").exists()


@pytest.mark.slow
def test_only_one_of_two_trainings_with_frozen_stages_keeps_their_maps(tmp_path):
    for contender in frozen.contenders(options(model="resnet10_slim"), tmp_path):
        contender.run()
        features = contender.run.trainer.learner.features
        assert (features is not None) == contender.name.endswith("kept")


@pytest.mark.slow
def test_memory_of_children_counts(tmp_path):
    """Two children of a process that holds nothing hold 200 MiB each, at one time."""
    hold = "import time; block = bytearray(b'x') * (200 << 20); time.sleep(1)"
    begin = f"subprocess.Popen([sys.executable, '-c', {hold!r}])"
    code = f"import subprocess, sys; all = [{begin}, {begin}]; [one.wait() for one in all]"
    peak = memory.peak_memory_bytes([sys.executable, "-c", code], tmp_path / "log.txt")
    assert 400 << 20 < peak < 700 << 20


def test_a_training_that_fails_says_why(tmp_path):
    code = "import sys; print('error: why', file=sys.stderr); sys.exit(2)"
    with pytest.raises(InputError, match="error: why"):
        memory.peak_memory_bytes([sys.executable, "-c", code], tmp_path / "log.txt")


def test_loaders_deliver_the_same_strips_in_their_own_form(tmp_path):
    images = {}
    found = {c.name: c for c in loader.contenders(options(), tmp_path)}
    for name, contender in found.items():
        batches, passes = contender.run.args
        assert contender.items == 24 * passes
        read = [batch["image"] if isinstance(batch, dict) else batch for batch in batches()]
        read = torch.cat([one[0] if isinstance(one, list) else one for one in read])
        plain = name.startswith(("cv2", "PIL"))
        assert read.shape == (24, 3 if plain else 1, 64, 320)
        assert read.dtype == (torch.float32 if plain else torch.uint8)
        images[name] = read
    ours, copies = "ours, cache=disk, no augmentation", "bare copy of the cache"
    assert torch.equal(images[copies], images[ours])
    # Equally long turns, or the ratio of the two would be one of turns.
    assert found[copies].items == found[ours].items


def test_networks_that_are_compared_answer_alike():
    torch.manual_seed(0)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, 64, 320), np.uint8))
    plain, ours, *_ = inference.eager(our_model(options()).eval(), images).values()
    torch.testing.assert_close(plain(), ours(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_every_step_changes_its_weights_and_masks_are_learned_beside_the_labels(tmp_path):
    found = {c.name: c.run for c in step.contenders(options(), tmp_path)}
    for run in found.values():
        model = getattr(run, "model", None) or run.learner.model
        before = [p.detach().clone() for p in model.parameters()]
        run()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    learner, batch = found["with masks"].learner, found["with masks"].batch
    assert learner.model.mask_head is not None
    assert (batch["mask_targets"].amax((2, 3)) == batch["labels"]).all()
    assert torch.equal(batch["image"], found["ours, float32"].batch["image"])
    learner.objective.train()
    found["with masks"]()
    terms = learner.objective.terms()
    assert {"image_labels", "masks/focal_loss", "masks/tversky_loss"} <= set(terms)
    assert terms["masks"]["raw"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="no bfloat16 instructions")
def test_the_steps_with_both_gradients_have_them(tmp_path):
    found = {c.name: c.run for c in step.contenders(options(model="convnext_atto"), tmp_path)[1:]}
    ours, other = found["ours, auto"], found["ours, other gradient"]
    assert {ours.computation.depthwise_gradient, other.computation.depthwise_gradient} == {
        *("torch", "matmul")
    }
    for one in (ours, other):
        has_it = one.computation.depthwise_gradient == "matmul"
        assert ("DepthwiseConv2d" in str(one.learner.model)) == has_it


def test_whatever_auto_may_choose_on_a_processor_is_in_the_table(tmp_path, monkeypatch):
    way = Computation("bfloat16", channels_last=True)
    ways = [*computation.WAYS.values(), way]
    monkeypatch.setattr(computation, "step_contenders", lambda *given: ways)
    monkeypatch.setattr(computation, "choose", lambda *given: (replace(way, num_workers=1), {}))
    small = options(models=["test_resnet"], image_size=(32, 64), batch_size=2, rounds=1)
    (row,), text = computation.results(small, tmp_path)
    assert row["chosen"] == str(way)
    assert set(row["steps"]) == set(row["forwards"]) == {*computation.WAYS, str(way)}
    assert str(way) in text


def test_operators_share_the_time_of_all():
    matrix = torch.randn(300, 300)
    shares = operator_shares(lambda: (matrix @ matrix).tanh(), torch.device("cpu"))
    assert {"aten::mm", "aten::tanh"} <= set(shares)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares_text({"aten::mm": 0.756, "aten::tanh": 0.244}) == "mm 76%, tanh 24%"


@pytest.mark.parametrize("subject", ["inference", "step", "memory"])
def test_an_unknown_model_is_named_before_anything_is_made(subject):
    with pytest.raises(InputError, match="no_such_network"):
        benchmark.main([subject, "--model", "no_such_network"])


@pytest.mark.slow
def test_trainings_that_are_compared_read_the_same_strips_and_learn(tmp_path):
    of_timm, ours = (c for c in trainer.contenders(options(), tmp_path) if c.name != "fastai")
    timm, ours, counted = of_timm.run, ours.run, of_timm.items
    learner, loaders = ours.trainer.learner, ours.trainer.task.loaders
    for part in ("train", "validation"):
        dataset = loaders[part].dataset
        names = {dataset.table.image_ids[index] for index in dataset.indices}
        assert {path.name for path in getattr(timm, part).dataset.paths} == names
    (images, labels), batch = next(iter(timm.validation)), next(iter(loaders["validation"]))
    torch.testing.assert_close(
        images, batch["image"].expand(-1, 3, -1, -1) / 255, atol=0.01, rtol=0
    )
    torch.testing.assert_close(labels, batch["labels"])
    assert counted == sum(len(seen) for part in (timm.train, timm.validation) for seen, _ in part)
    for model, run in ((timm.model, timm), (learner.model, ours)):
        before = [p.detach().clone() for p in model.parameters()]
        run()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
