"""Every command in README.md and the guides: trainings compose, the others run."""

import json
import logging
import runpy
import shlex
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from guides import arguments_of, commands
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from benchmarks import memory, predict
from benchmarks.latency import measure_latency
from core.command.help_topics import train_topic
from core.review.decisions import Decision
from core.review.store import ReviewStore

TRAIN = "code/train.py"
TRAININGS = [command for command in commands() if TRAIN in command]
OTHERS = [command for command in commands() if TRAIN not in command]
# What choosing one of their options changes stands under other keys.
CHOICES = ("experiment", "data", "model", "loss", "augmentation", "supervision", "resume")

# Parts of commands that take more than a second, or that read what such a command writes.
SLOW = ("benchmark.py", "pretrain.py", "novelty", "export.py", "explain.py", "search.py",
        "model.onnx", "model.zip")  # fmt: skip

# Options that keep it cheap: benchmarks get next to no time.
ONCE, SLIM = ["--rounds", "1"], ["--model", "test_resnet"]
SIZE = ["--image-size", "32", "64"]
STRIPS = [*SIZE, "--num-images", "24"]
RUN_HERE = {
    "code/pretrain.py": [
        "model=timm",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "data.image_size=[32,64]",
        "training.num_epochs=1",
    ],
    "code/novelty.py fit": ["data.image_size=[32,64]"],
    "code/search.py": [
        "data=synthetic",
        "data.root=strips",
        "data.num_images=60",
        "data.class_shares=flat",
        "data.image_size=[32,64]",
        "data.resize=null",
        "data.batch_size=8",
        "model=timm",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "training.num_epochs=1",
        "training.head_epochs=0",
        "search.num_trials=1",
    ],
    "code/workbench.py": ["--port", "0"],
    "code/validate_data.py": ["data.image_size=[32,64]"],
    "code/benchmark.py losses": ["--budget-seconds", "0.01", "--losses", "bce_with_logits"],
    "code/benchmark.py loader": [*STRIPS, *ONCE, "--batch-size", "4"],
    "code/benchmark.py step": [*SIZE, *ONCE, *SLIM],
    "code/benchmark.py computation": [
        "--image-size",
        "32",
        "64",
        *ONCE,
        "--models",
        "test_resnet",
    ],
    "code/benchmark.py inference": [*SIZE, *ONCE, *SLIM],
    "code/benchmark.py predict": [*STRIPS, *ONCE, *SLIM],
    "code/benchmark.py epoch": [*STRIPS, *ONCE, *SLIM],
    "code/benchmark.py frozen": [*STRIPS, *ONCE, *SLIM],
    "code/benchmark.py pretraining": [
        *("--image-size", "32", "64", "--num-images", "12", "--test-images", "30"),
        *("--num-steps", "2", "--num-epochs", "1", "--labels", "16", "--seeds", "1"),
        *("--starts", "scratch"),
    ],
    "code/benchmark.py novelty": [
        "--image-size",
        "32",
        "64",
        "--num-images",
        "40",
        "--test-images",
        "2",
        "--num-steps",
        "2",
        "--seeds",
        "1",
        "--detectors",
        "high_pass",
    ],
    # tests/benchmarks/test_review_benchmark.py runs it.
    "code/benchmark.py review": ["--only-table"],
    "code/benchmark.py split": ONCE,
    "code/benchmark.py metrics": ONCE,
    "code/benchmark.py thresholds": ONCE,
    "code/benchmark.py trainer": [*STRIPS, *ONCE, *SLIM],
    "code/benchmark.py device": [*SIZE, *SLIM, "--device", "cpu", "--minutes", "0.01"],
    "code/benchmark.py memory": [*STRIPS, *SLIM, "--batch-size", "4"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", TRAININGS)
def test_training_commands_compose(command, compose):
    words = arguments_of(command, TRAIN)
    if "--help" in words:
        assert all(train_topic(word, 80) for word in words if word != "--help")
        return
    overrides = [word for word in words if word != "-m"]
    # Keys of a launcher that is an optional install.
    overrides = [word for word in overrides if not word.startswith(("hydra/", "hydra."))]
    jobs: list[list[str]] = [[]]
    for override in overrides:
        key, _, value = override.partition("=")
        is_swept = "-m" in words and not value.startswith("[")  # a list is one value
        choices = value.split(",") if is_swept else [value]
        jobs = [[*job, f"{key}={choice}"] for job in jobs for choice in choices]
    for job in jobs:
        config = compose(*job).resolved()
        for override in job:
            assert was_set(config, override), f"{override} had no effect"


def was_set(config: dict[str, Any], override: str) -> bool:
    key = override.partition("=")[0]
    if key in CHOICES:
        return True
    wanted = OverridesParser.create().parse_override(override).value()
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value == wanted or (wanted is False and value is None)


@pytest.fixture(scope="module")
def workplace(trained, tmp_path_factory) -> Path:
    """A folder with one experiment and its data, in which the commands write."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(trained.parents[2], folder, dirs_exist_ok=True)
    (folder / "data").mkdir()
    root = json.loads((trained / "results.json").read_text())["data"]["root"]
    for name in ("severstal", "other_line"):
        (folder / "data" / name).symlink_to(root)
    write_coco(folder, root)
    write_decisions(folder, trained)
    for sweep in ("loss_comparison", "mask_supervision"):
        (folder / "experiments" / "results" / sweep).symlink_to(trained.parent)
    return folder


def write_decisions(folder: Path, trained: Path) -> None:
    """A store with one decision about the strips of the experiment."""
    data = json.loads((trained / "results.json").read_text())["data"]
    decision = Decision(
        reviewer="Ann",
        image_id=min(path.name for path in (Path(data["root"]) / "train_images").iterdir()),
        class_name=data["class_names"][0],
        given=False,
        decided="set",
        fingerprint=data["fingerprint"],
    )
    ReviewStore(folder / "decisions.sqlite", create=True).append([decision])


def write_coco(folder: Path, root: str) -> None:
    """A COCO file with a box in one of the strips, to which there are links in `images`."""
    # A link to their folder would be known as that of a labelled data set.
    (folder / "images").mkdir()
    for path in (Path(root) / "train_images").iterdir():
        (folder / "images" / path.name).symlink_to(path)
    name = min(path.name for path in (folder / "images").iterdir())
    content = {
        "images": [{"id": 1, "file_name": name, "height": 32, "width": 64}],
        "categories": [{"id": 1, "name": "pit"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [2, 3, 40, 5]}],
    }
    (folder / "coco.json").write_text(json.dumps(content))


def does_not_compile(*_: Any) -> None:
    raise RuntimeError("not compiled in this test")


def do_here(command: Sequence[str], _log: Path) -> int:
    """A command of Python, in this process, which has imported all; and some number of bytes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", command[1:])
        runpy.run_path(command[1], run_name="__main__")
    return 1 << 30


@pytest.fixture
def cheap(exported_once, monkeypatch) -> None:
    """Commands do all that they do, but not for long."""
    monkeypatch.setattr("benchmarks.metrics.RESAMPLES", 20)
    once_each = partial(measure_latency, rounds=1)
    monkeypatch.setattr("benchmarks.latency_comparison.measure_latency", once_each)
    # What the fixture learned in two epochs is noise, and so is what int8 costs it.
    monkeypatch.setattr("core.exporting.parity.MOST_LOST", 1.0)
    # Compiling takes half a minute; tests/benchmarks/test_latency.py compiles.
    monkeypatch.setattr("torch.compile", lambda model, **_: does_not_compile)
    # Of the processes that predict, one is enough, and not the one that imports torch.
    run_command, done = predict.run_command, []

    def once(source: Path, *more: Any) -> None:
        if source.suffix == ".onnx" and not done:
            done.append(run_command(source, *more))

    monkeypatch.setattr(predict, "run_command", once)
    monkeypatch.setattr(memory, "peak_memory_bytes", do_here)
    # It would serve until Ctrl-C.
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)


def marked(command: str) -> Any:
    is_slow = any(part in command for part in SLOW)
    return pytest.param(command, marks=[pytest.mark.slow] if is_slow else [])


# In the order of the guides: a command may need what an earlier one wrote.
@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("command", [marked(command) for command in OTHERS])
def test_other_commands_run(command, workplace, monkeypatch, capsys):
    if "-m pytest" in command:
        return
    if command.startswith("pip install"):
        assert command.count("==") == 1
        return
    python, script, *words = shlex.split(command)
    assert python == "python"
    monkeypatch.chdir(workplace)
    words = [name for word in words for name in sorted(map(str, Path().glob(word))) or [word]]
    here = RUN_HERE.get(script) or RUN_HERE.get(" ".join([script, *words[:1]]), [])
    monkeypatch.setattr(sys, "argv", [script, *words, *here])
    # Each command configures logging for the standard output of its own process.
    logging.getLogger().handlers.clear()
    try:
        runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    finally:
        GlobalHydra.instance().clear()
    assert capsys.readouterr().out.strip()
