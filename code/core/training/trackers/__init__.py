"""Trackers: where else the figures of a training go, beside its own folder."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

TRACKERS = {
    "tensorboard": "core.training.trackers.tensorboard:TensorBoard",
    "mlflow": "core.training.trackers.mlflow:MLflow",
    "wandb": "core.training.trackers.wandb:WandB",
}
"""Where the class of each tracker is; `training.trackers` chooses from these names."""


class Tracked(Protocol):
    """An experiment's folder, which calls `followers` with what it has written to results.json."""

    path: Path
    followers: list[Callable[[dict[str, Any]], None]]


def check_trackers(names: Iterable[str]) -> None:
    """Raise InputError, before anything is written, for a tracker that cannot be used here."""
    for name in names:
        resolve_name(TRACKERS[name]).check()


@contextmanager
def tracked(folder: Tracked, names: Iterable[str]) -> Iterator[None]:
    """Let these trackers follow what is written to results.json; close them at the end.

    An error of a tracker is one warning, and ends that tracker alone.
    """
    from core.machine.distributed import is_first  # imports torch
    from core.training.trackers.following import Following, FollowingInThread

    trackers = []
    for name in names if is_first() else ():
        tracker = resolve_name(TRACKERS[name])
        follows = FollowingInThread if tracker.is_remote else Following
        trackers.append(follows(name, tracker, folder.path))
    folder.followers += [each.follow for each in trackers]
    try:
        yield
    finally:
        for each in trackers:
            folder.followers.remove(each.follow)
            each.close()
