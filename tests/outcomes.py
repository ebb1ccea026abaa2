"""What a training came to, without what no two runs share: seconds, times and places."""

import json
from pathlib import Path
from typing import Any

import torch

SECONDS = {"duration_seconds", "images_per_second", "data_wait_share", "training_seconds"}
NOT_SHARED = SECONDS | {"experiment"}
FILES = ("predictions.csv", "split.csv", "duplicates.csv")
CHECKPOINTS = ("model_final.pt", "checkpoints/best.pt", "checkpoints/last.pt")
REPORTED = (
    "status", "history", "best_epoch", "tested_epoch", "thresholds", "validation", "test",
    "test_at_thresholds", "calibration", "loss", "model", "augmentation",
)  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    return json.loads((path / "results.json").read_text())


def outcome(path: Path) -> dict[str, Any]:
    """Figures, predictions and every number of every checkpoint of a completed experiment."""
    results = read(path)
    assert results["status"] == "completed", results.get("status_message")
    reported = {key: plain(results[key]) for key in REPORTED}
    files = {name: (path / name).read_text() for name in FILES}
    states = {
        name: plain(torch.load(path / name, weights_only=True, map_location="cpu"))
        for name in CHECKPOINTS
    }
    return {**reported, **files, **states}


def plain(value: Any) -> Any:
    """`value` with tensors as bytes, so that == compares every bit; without seconds and names."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in NOT_SHARED}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two outcomes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [line for key in keys for line in _at(one, other, key, f"{where}/{key}")]
    return [] if one == other else [where]


def _at(one: dict, other: dict, key: Any, where: str) -> list[str]:
    if key not in one or key not in other:
        return [f"{where} is missing"]
    return differences(one[key], other[key], where)
