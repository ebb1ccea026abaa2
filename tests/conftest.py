"""Fixtures shared by the whole suite."""

import copy
import fcntl
import gc
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before torch, numpy and albumentations are imported anywhere: one thread a process (the suite
# runs in parallel processes), none of their own for compilers, no look-ups on the network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# One cache folder for the session and its worker processes, never that of the user.
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if not _IS_WORKER:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="cache_of_tests_")

# Nothing that is imported is garbage: it is searched for once all tests are collected.
gc.disable()
# Nor is garbage of this process searched for in those that are forked from it: an ONNX session
# would wait there for its threads, which are not forked.
os.register_at_fork(after_in_child=gc.freeze)

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

# Losses with weights that are learned: more state that a training has to keep and to share.
LEARNED_LOSS = [
    "loss.type=compound",
    "loss.components=[{type:bce,weight:0.7},{type:focal,weight:0.3,alpha:0.25,gamma:2}]",
    "loss.learnable_weights=softmax",
]
LEARNED_MASK_LOSS = [
    "model.mask_head=true",
    "model.mask_head_width=8",
    "mask_loss.type=compound",
    "mask_loss.components=[{type:focal,reduction:positives},{type:tversky,weight:0.5}]",
    "mask_loss.learnable_weights=softmax",
]

# A processor without bfloat16 takes ten times as long in it: one short training is enough, of the
# network that takes the least.
BFLOAT16 = [
    "runtime.precision=bfloat16",
    "training.num_epochs=2",
    "training.ema_decay=0.9",
    "model.backbone=test_byobnet",
]


def pytest_unconfigure() -> None:
    if not _IS_WORKER:
        shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config) -> int | None:
    from waiting_beside import number_of_processes

    is_given = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ  # which xdist heeds
    return None if is_given else number_of_processes(config.option.markexpr)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from waiting_beside import WaitingBeside

    return WaitingBeside(config, log) if config.option.dist == "loadfile" else None


def pytest_collection_modifyitems(config, items) -> None:
    """Give the worker processes the files with slow tests first, so that none ends long after.

    First of all whole trainings: the larger a process has grown, the longer its forks take.
    """
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        own = Path(__file__).parent
        items.sort(key=lambda item: (item.path not in slow, item.path.parent != own))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    forget_logs()


def forget_logs() -> None:
    """A command sends its log to the output of its test, which is closed after it."""
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if "_pytest" in type(each).__module__]


def pytest_collection_finish() -> None:
    """Leave the thousands of modules and tests out of what is searched for garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(100_000, 20, 20)


@contextmanager
def unsynced_files() -> Iterator[None]:
    """Nothing waits until files are on the disk: only a machine that fails could show it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    with unsynced_files():
        yield


@pytest.fixture(scope="session", autouse=True)
def composed_quickly() -> Iterator[None]:
    from composed_once import composed_once

    with composed_once():
        yield


@pytest.fixture(scope="session")
def severstal_sample() -> Path:
    """Folder of 100 real strips; a test that needs it skips where it is absent."""
    folder = SHARED / "data" / "severstal_sample"
    if not (folder / "train_images").is_dir():
        pytest.skip(f"the real sample strips are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_file():
    """Path of a file beside the checkout, by its name below `shared`; skips where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"{path} is absent")
        return path

    return find


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    exit_code: int
    output: str
    errors: str


@pytest.fixture(scope="session")
def compose() -> Callable:
    """Compose and check a config from overrides, as the command line would."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from core.command.choosers import short_forms
    from core.command.config import check_config, fill_config_store
    from core.command.help import store_help
    from core.losses.registry import get_registry as losses
    from core.models.registry import get_registry as models

    offered = None

    def run(*overrides: str):
        nonlocal offered
        if offered != (registered := [*models(), *losses()]):
            fill_config_store()
            store_help()
            offered = registered
        with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
            return check_config(hydra_compose("train_config", overrides=short_forms(overrides)))

    return run


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory) -> Path:
    """A folder that the worker processes of this session share with each other alone."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def undrawn_curves() -> Iterator[None]:
    """Trainings within do not draw history.png, which takes a quarter of a short one's time."""
    from core.training.classification import history_plot

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history_plot, "plot_history", lambda path, *_: path.write_text("curves"))
        yield


_scalings: dict[tuple, tuple | None] = {}


@contextmanager
def scalings_found_once() -> Iterator[None]:
    """What a loss does to probabilities is found once in this process, not after each epoch.

    Finding it takes a fifth of the time of a training of two epochs.
    """
    from core.losses import base

    find = base.posterior_scaling

    def find_once(loss, num_classes):
        values = loss.state_dict().values()
        state = [repr(v if isinstance(v, dict) else v.tolist()) for v in values]
        key = (type(loss), num_classes, repr(loss.get_params()), *state)
        if key not in _scalings:
            _scalings[key] = find(loss, num_classes)
        return copy.deepcopy(_scalings[key])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(base, "posterior_scaling", find_once)
        yield


@pytest.fixture(scope="session")
def completed(compose, session_folder) -> Callable[..., Path]:
    """Folder of a completed experiment with these overrides, trained once in the whole session.

    Copy it before changing anything in it: other files of tests read it as well.
    """
    from core.running.composition import train
    from core.running.cross_validation import cross_validate

    def run(*overrides: str) -> Path:
        key = hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:16]
        folder = session_folder / "completed" / key
        results_dir, done = folder / "experiments" / "results", folder.with_suffix(".done")
        folder.parent.mkdir(exist_ok=True)
        with folder.with_suffix(".lock").open("w") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX)  # another worker may be training it
            if not done.is_file():
                shutil.rmtree(folder, ignore_errors=True)
                config = compose(*overrides, f"experiment.results_dir={results_dir}")
                with undrawn_curves(), scalings_found_once():
                    (cross_validate if config.training.folds else train)(config)
                done.touch()
        (path,) = results_dir.iterdir()
        return path

    return run


@pytest.fixture(scope="session")
def trained(completed, tiny) -> Path:
    """Folder of a completed experiment; copy it before changing anything in it."""
    return completed(*tiny, "experiment.name=quickstart")


@pytest.fixture(scope="session")
def onnx_exports() -> dict:
    """The ONNX programs that torch made in this process, each by all that it was made of."""
    return {}


@pytest.fixture(scope="module")
def exported_once(onnx_exports) -> Iterator[None]:
    """A model that was exported to ONNX in this process already is not exported again.

    That would take seconds, and give the same.
    """
    import torch

    export = torch.onnx.export

    def once(model, examples, **options):
        shapes = [example.shape for example in examples]
        content = hashlib.sha256(repr((model, model.training, shapes, options)).encode())
        for name, value in model.state_dict().items():
            content.update(name.encode() + value.numpy().tobytes())
        key = content.hexdigest()
        if key not in onnx_exports:
            onnx_exports[key] = export(copy.deepcopy(model), examples, **options)
        return onnx_exports[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.onnx, "export", once)
        yield


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium; `tests/workbench/browsing.py` has what is done with it."""
    from browsing import CHROMIUM, playwright

    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def train_command(monkeypatch, capsys) -> Callable[..., Ended]:
    """Run `python code/train.py ARGUMENTS` in this process; `curves=True` draws history.png."""
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra

    import train
    from core.command.config import explain_override
    from core.command.mistakes import run_command

    # Hydra composes each config twice, first of all for a mode that no config sets.
    monkeypatch.setattr(Hydra, "get_mode", lambda *_, **__: None)

    def run(*arguments: str, curves: bool = False) -> Ended:
        monkeypatch.setattr(sys, "argv", ["code/train.py", *map(str, arguments)])
        capsys.readouterr()
        # Each command configures logging for the standard output of its own process.
        logging.getLogger().handlers.clear()
        try:
            with nullcontext() if curves else undrawn_curves(), scalings_found_once():
                run_command(train.main, explain_override)
            exit_code = 0
        except SystemExit as exit_:
            exit_code = exit_.code
        finally:
            GlobalHydra.instance().clear()
        printed = capsys.readouterr()
        return Ended(exit_code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def tiny(session_folder) -> list[str]:
    """Overrides of a training that takes seconds: 60 small strips, a small network."""
    return [
        "data=synthetic",
        f"data.root={session_folder / 'tiny_strips'}",
        "data.num_images=60",
        "data.image_size=[32,64]",
        "data.class_shares=flat",
        "data.batch_size=8",
        "model=timm",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "training.num_epochs=2",
        "training.learning_rate=0.01",
        "evaluation.bootstrap_resamples=100",
        "runtime.precision=float32",
    ]


@pytest.fixture(scope="session")
def with_dropout(tiny) -> list[str]:
    """Three epochs of six steps, with dropout, so that a resumed epoch needs its generators.

    The second epoch is the best: the last checkpoint is not the best one.
    """
    return [*tiny, "training.num_epochs=3", "model.drop_rate=0.3"]


@pytest.fixture(scope="session")
def uninterrupted(completed, with_dropout) -> Callable[..., Path]:
    """Folder of a completed training with dropout and these overrides."""
    return lambda *more: completed(*with_dropout, *more)


@pytest.fixture
def interrupt(train_command, with_dropout, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Begin a training that is asked to stop after so many steps, and return its folder."""
    from outcomes import read

    from core.training.trainer import Trainer

    def run(*more: str, steps: int = 0, after_epoch: int = 0) -> Path:
        results_dir = tmp_path / "results"
        after_step, heed = Trainer._after_step, Trainer._heed

        def count(self, progress):
            if self.learner.num_updates == steps:
                self.interruption.requested = True
            after_step(self, progress)

        def ask(self, answers):
            heed(self, answers)
            if len(self.progress.history) == after_epoch:
                self.interruption.requested = True

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "_after_step", count)
            patched.setattr(Trainer, "_heed", ask)
            ended = train_command(*with_dropout, *more, f"experiment.results_dir={results_dir}")
        assert ended.exit_code == 130, ended.errors
        (path,) = results_dir.iterdir()
        assert read(path)["status"] == "interrupted"
        return path

    return run


@pytest.fixture
def resumed_exactly(interrupt, uninterrupted, train_command) -> Callable[..., Path]:
    """Stop a training, resume it, and see that it ends as one that never stopped."""
    from outcomes import differences, outcome

    def run(*more: str, **stop: int) -> Path:
        path = interrupt(*more, **stop)
        ended = train_command(f"resume={path}")
        assert ended.exit_code == 0, ended.errors
        assert not differences(outcome(uninterrupted(*more)), outcome(path))
        return path

    return run
