"""Folders of pretrainings as code/pretrain.py writes them, with made-up figures."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from experiment_factory import write_results


def epoch(number: int, probe: float | None, collapsed: bool = False) -> dict[str, Any]:
    validation = {
        "loss": 3.0 / number,
        "effective_rank": 10.0 + number,
        "standard_deviation": 0.01 if collapsed else 0.6,
        "retrieval": 0.5,
        "collapsed": collapsed,
        "probe_average_precision": probe,
    }
    train = {"loss": 2.0 / number, "duration_seconds": 1.0, "images_per_second": 9.0}
    return {
        "epoch": number,
        "learning_rate": 1e-3,
        "train": train,
        "validation": validation,
    }


def write_pretraining(results_dir: Path, name: str = "pretraining_a", **changes: Any) -> Path:
    """Write a completed pretraining of three epochs; `changes` replace sections."""
    folder = results_dir / name
    folder.mkdir(parents=True)
    history = [epoch(1, 0.2, collapsed=True), epoch(2, None), epoch(3, 0.456)]
    figures = {k: v for k, v in history[-1]["validation"].items() if not k.startswith("probe")}
    results = {
        "schema_version": 1,
        "status": "completed",
        "kind": "pretraining",
        "experiment": {"name": name, "seed": 7, "command": "python code/pretrain.py"},
        "config": {
            "model": {"name": "resnet10_slim"},
            "method": {"name": "vicreg"},
            "data": {"root": "strips"},
            "experiment": {"name": name, "seed": 7},
        },
        "data": {
            "source": "strips <b>",
            "part": "training",
            "image_size": [64, 320],
            "num_images": 139,
            "num_watched": 31,
        },
        "model": {"name": "resnet10_slim", "num_parameters": 300},
        "method": {"type": "vicreg", "params": {"hidden_size": 16}},
        "views": {"horizontal_flip": 0.5},
        "history": history,
        "best_epoch": 3,
        "tested_epoch": 3,
        "test": figures,
        "collapsed": False,
    }
    write_results(folder, results | changes)
    cv2.imwrite(str(folder / "view_pairs.jpg"), np.zeros((40, 300, 3), np.uint8))
    return folder
