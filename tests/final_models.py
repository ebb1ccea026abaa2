"""The final model of an experiment, with some of what it holds replaced."""

from pathlib import Path
from typing import Any

import torch


def read_final_model(experiment: Path) -> dict[str, Any]:
    """What model_final.pt holds."""
    return torch.load(experiment / "model_final.pt", weights_only=True)


def change_final_model(experiment: Path, /, **values: Any) -> None:
    """Replace some of it."""
    torch.save({**read_final_model(experiment), **values}, experiment / "model_final.pt")
