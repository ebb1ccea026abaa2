"""A training that trackers follow, in what it writes to results.json alone."""

from contextlib import contextmanager

from core.experiments.folder import ExperimentFolder
from core.training.trackers import tracked


def record(epoch: int) -> dict:
    return {"epoch": epoch, "train": {"loss": 1 / epoch}, "validation": {"macro_auroc": None}}


@contextmanager
def training(folder: ExperimentFolder, tracker: str):
    """A training that has just described itself."""
    with tracked(folder, [tracker]):
        config = {"experiment": {"name": "pits", "seed": 3}, "loss": {"gamma": 2.0, "alpha": None}}
        folder.record(status="running")
        folder.record(config=config, data={"fingerprint": "abc"})
        yield


def finish(folder: ExperimentFolder, **how: str) -> None:
    folder.record(history=[record(1), record(2)], tested_epoch=2)
    folder.record(test={"num_images": 9, "macro": {"f1": 0.5}, "intervals": {"f1": [0.4, 0.6]}})
    folder.record(**how or {"status": "completed"})
