"""Fixtures shared by the whole suite."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before torch, numpy and albumentations are imported anywhere: one thread a process (the suite
# runs in parallel processes), no look-ups on the network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"


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

    def run(*overrides: str):
        fill_config_store()
        store_help()
        with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
            return check_config(hydra_compose("train_config", overrides=short_forms(overrides)))

    return run


@pytest.fixture(scope="session")
def trained(compose, tiny, tmp_path_factory) -> Path:
    """Folder of a completed experiment; copy it before changing anything in it."""
    from core.running.composition import train

    results_dir = tmp_path_factory.mktemp("work") / "experiments" / "results"
    train(compose(*tiny, "experiment.name=quickstart", f"experiment.results_dir={results_dir}"))
    (path,) = results_dir.glob("quickstart_*")
    return path


@pytest.fixture
def train_command(monkeypatch, capsys) -> Callable[..., Ended]:
    """Run `python code/train.py ARGUMENTS` in this process."""
    import logging

    from hydra.core.global_hydra import GlobalHydra

    import train
    from core.command.config import explain_override
    from core.command.mistakes import run_command

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["code/train.py", *map(str, arguments)])
        capsys.readouterr()
        # Each command configures logging for the standard output of its own process.
        logging.getLogger().handlers.clear()
        try:
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
def tiny(tmp_path_factory) -> list[str]:
    """Overrides of a training that takes seconds: 60 small strips, a small network."""
    root = tmp_path_factory.getbasetemp().parent / "tiny_strips"
    return [
        "data=synthetic",
        f"data.root={root}",
        "data.num_images=60",
        "data.image_size=[64,320]",
        "data.class_shares=flat",
        "data.batch_size=8",
        "model=timm",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "training.num_epochs=2",
        "training.learning_rate=0.002",
        "evaluation.bootstrap_resamples=100",
        "runtime.precision=float32",
    ]
