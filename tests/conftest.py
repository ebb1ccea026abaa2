"""Fixtures shared by the whole suite."""

import os
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
