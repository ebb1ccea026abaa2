"""The benchmarks run, compare like with like, and state ratios that follow from the times."""

import json
import sys

import pytest
import torch

import benchmark
from benchmarks import inference, loader, measurement, memory, metrics, step, trainer
from benchmarks.measurement import Contender, measure, table
from benchmarks.operators import operator_shares, shares_text
from benchmarks.options import Options
from core.errors import InputError
from core.training.precision import has_bfloat16

SMALL = ["--image-size", "64", "320", "--num-images", "24", "--batch-size", "4", "--rounds", "1"]
SUBJECTS = {
    "loader": [],
    "step": ["--model", "test_resnet"],
    "inference": ["--model", "test_resnet"],
    "split": [],
    "metrics": [],
    "epoch": [],
    "predict": ["--model", "resnet10_slim"],
    "trainer": ["--model", "test_resnet"],
}


@pytest.fixture(autouse=True)
def same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_every_subject_is_run_below():
    assert {*SUBJECTS, "memory"} == set(benchmark.SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_each_prints_a_table_and_writes_json(subject, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 20)
    file = tmp_path / "rows.json"
    benchmark.main([subject, *SMALL, *SUBJECTS[subject], "--output", str(file)])
    content = json.loads(file.read_text())
    printed = capsys.readouterr().out
    assert "times as fast" in printed
    assert f"torch {torch.__version__}" in printed
    assert len(content["rows"]) >= 2
    assert content["rows"][0]["ratio"] == 1
    for row in content["rows"]:
        assert row["seconds_per_item"] > 0
        assert row["lowest"] <= row["ratio"] <= row["highest"]
        assert row["name"] in printed
    assert content["environment"]["hardware"]["processor"]


def test_memory_is_that_of_the_whole_training(tmp_path, capsys):
    file = tmp_path / "rows.json"
    benchmark.main(["memory", *SMALL, "--output", str(file)])
    (row,) = json.loads(file.read_text())["rows"]
    assert row["num_images"] == 24
    assert 100 < row["peak_mib"] < 4000
    assert f"{row['peak_mib']:.0f} MiB" in capsys.readouterr().out


def test_memory_of_children_counts(tmp_path):
    """Two children of a process that holds nothing hold 200 MiB each, at one time."""
    hold = "import time; block = bytearray(b'x') * (200 << 20); time.sleep(1.5)"
    begin = f"subprocess.Popen([sys.executable, '-c', {hold!r}])"
    code = f"import subprocess, sys; all = [{begin}, {begin}]; [one.wait() for one in all]"
    peak = memory.peak_memory_bytes([sys.executable, "-c", code], tmp_path / "log.txt")
    assert 400 << 20 < peak < 700 << 20


def test_a_training_that_fails_says_why(tmp_path):
    code = "import sys; print('error: why', file=sys.stderr); sys.exit(2)"
    with pytest.raises(InputError, match="error: why"):
        memory.peak_memory_bytes([sys.executable, "-c", code], tmp_path / "log.txt")


def test_ratios_are_medians_over_rounds_in_which_all_take_turns(monkeypatch):
    order = []
    # Of each round the plain way takes 8, 4, 6, 9 seconds, and ours 9, 2, 2, 2 (first: warm-up).
    durations = iter([8, 9, 4, 2, 6, 2, 9, 2])
    monkeypatch.setattr(measurement, "_seconds", lambda c: order.append(c.name) or next(durations))
    contenders = [Contender("plain", print, 2), Contender("ours", print, 1)]
    plain, ours = measure(contenders, rounds=3)
    assert order == ["plain", "ours"] * 4
    assert plain["seconds_per_item"] == 3
    assert ours["seconds_per_item"] == 2
    assert (ours["lowest"], ours["ratio"], ours["highest"]) == (1.0, 1.5, 2.25)
    printed = table([plain, ours], "strip")
    assert "2000.000" in printed
    assert "beside" not in printed


def test_a_ratio_may_be_to_another_than_the_first(monkeypatch):
    monkeypatch.setattr(measurement, "_seconds", lambda contender: contender.run())
    contenders = [
        Contender("plain", lambda: 6, 1),
        Contender("ours", lambda: 2, 1),
        Contender("more", lambda: 3, 1, beside="ours"),
    ]
    rows = measure(contenders, rounds=1)
    assert [row["ratio"] for row in rows] == pytest.approx([1, 3, 2 / 3])
    assert "more (beside ours)" in table(rows, "strip")


def options(**given) -> Options:
    usual = {"image_size": (64, 320), "num_images": 8, "batch_size": 2, "model": "test_resnet"}
    return Options(**{**usual, **given})


def test_loaders_deliver_the_same_strips_in_their_own_form(tmp_path):
    found = {c.name: c for c in loader.contenders(options(), tmp_path)}
    for name, contender in found.items():
        batches = list(contender.run.loader)
        assert contender.items == 8 * contender.run.number
        images = [batch["image"] if isinstance(batch, dict) else batch for batch in batches]
        images = torch.cat([image[0] if isinstance(image, list) else image for image in images])
        plain = name.startswith(("cv2", "PIL"))
        assert images.shape == (8, 3 if plain else 1, 64, 320)
        assert images.dtype == (torch.float32 if plain else torch.uint8)
    copies = torch.cat(list(found["bare copy of the cache"].run.loader))
    ours = torch.cat(
        [batch["image"] for batch in found["ours, cache=disk, no augmentation"].run.loader]
    )
    assert torch.equal(copies, ours)
    # Equally long turns, or the ratio of the two would be one of turns.
    assert (
        len({c.run.number for name, c in found.items() if "copy" in name or "no aug" in name}) == 1
    )


def test_networks_that_are_compared_answer_alike(tmp_path):
    torch.manual_seed(0)
    plain, ours, *_ = inference.contenders(options(), tmp_path)
    with torch.no_grad():
        one = plain.run.model(plain.run.images)
        two = ours.run.model(ours.run.images)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_the_step_with_masks_learns_them_beside_the_labels(tmp_path):
    *_, masks = step.contenders(options(), tmp_path)
    learner, batch = masks.run.learner, masks.run.batch
    assert learner.model.mask_head is not None
    assert batch["mask_targets"].shape == (2, 4, 16, 80)
    assert (batch["mask_targets"].amax((2, 3)) == batch["labels"]).all()
    learner.objective.train()
    masks.run()
    terms = learner.objective.terms()
    assert {"image_labels", "masks/focal_loss", "masks/tversky_loss"} <= set(terms)
    assert terms["masks"]["raw"] > 0


def test_operators_share_the_time_of_all():
    matrix = torch.randn(300, 300)
    shares = operator_shares(lambda: (matrix @ matrix).tanh(), torch.device("cpu"))
    assert {"aten::mm", "aten::tanh"} <= set(shares)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares_text({"aten::mm": 0.756, "aten::tanh": 0.244}) == "mm 76%, tanh 24%"


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="no bfloat16 instructions")
def test_the_step_with_matmul_gradients_has_them(tmp_path):
    contenders = step.contenders(options(model="convnext_atto"), tmp_path)
    found = {c.name: str(c.run.learner.model) for c in contenders if "matmul" in c.name}
    assert len(found) == 1
    assert all("DepthwiseConv2d" in model for model in found.values())


def test_steps_change_their_weights(tmp_path):
    for contender in step.contenders(options(), tmp_path):
        model = getattr(contender.run, "model", None) or contender.run.learner.model
        before = [p.detach().clone() for p in model.parameters()]
        contender.run()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_unknown_model_is_named():
    with pytest.raises(InputError, match="no_such_network"):
        benchmark.main(["inference", *SMALL, "--model", "no_such_network"])


def test_trainings_that_are_compared_read_the_same_strips_and_learn(tmp_path):
    found = {c.name: c for c in trainer.contenders(options(num_images=24), tmp_path)}
    timm, ours = found["a loop as timm's train.py"], found["ours, as by default"]
    assert timm.items == ours.items
    loaders = ours.run.trainer.task.loaders
    for part in ("train", "validation"):
        dataset = loaders[part].dataset
        names = {dataset.table.image_ids[index] for index in dataset.indices}
        assert {path.name for path in getattr(timm.run, part).dataset.paths} == names
    (images, labels), batch = next(iter(timm.run.validation)), next(iter(loaders["validation"]))
    torch.testing.assert_close(
        images, batch["image"].expand(-1, 3, -1, -1) / 255, atol=0.01, rtol=0
    )
    torch.testing.assert_close(labels, batch["labels"])
    for model, run in ((timm.run.model, timm.run), (ours.run.trainer.learner.model, ours.run)):
        before = [p.detach().clone() for p in model.parameters()]
        run()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
