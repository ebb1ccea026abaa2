"""Weights & Biases, offline: each experiment's folder has a run in files, for `wandb sync`."""

import os
import secrets
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files.reading import read_json
from core.files.writing import write_json
from core.training.trackers.following import Tracker, figures, numbers
from core.validation import is_installed

RUN_FILE = "wandb.json"
"""Which run an experiment's folder has: a resumed training goes on in it."""
_REQUIREMENT = "wandb==0.31.0"
# What is set by the user stays.
_DEFAULTS = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
_SETTINGS = {
    "silent": True, "console": "off", "disable_git": True, "save_code": False,
    "x_disable_stats": True,
}  # fmt: skip


class WandB(Tracker):
    """Writes the config, the numbers of each epoch, the figures, and how it ended to `wandb/`."""

    is_remote = True  # its import takes seconds, and with WANDB_MODE=online it has a server

    @classmethod
    def check(cls) -> None:
        if not is_installed("wandb"):
            raise InputError(
                f"training.trackers: wandb needs a package: pip install {_REQUIREMENT}"
            )

    def __init__(self, path: Path) -> None:
        for key, value in _DEFAULTS.items():
            os.environ.setdefault(key, value)
        import wandb

        self.path, self.wandb, self.run = path, wandb, None
        new = {"run_id": secrets.token_hex(4), "epochs": 0}
        self.known = read_json(path / RUN_FILE) if (path / RUN_FILE).is_file() else new

    def follow(self, results: dict[str, Any]) -> None:
        if "config" not in results:
            return  # it has just begun, or goes on
        self.run = self.run or self._begun(results)
        for record in results.get("history", [])[self.known["epochs"] :]:
            values = numbers(record)
            self.known["epochs"] = int(values.pop("epoch"))
            self.run.log(values, step=self.known["epochs"])
        write_json(self.path / RUN_FILE, self.known)
        self.run.summary.update({**numbers(figures(results)), "status": results["status"]})

    def close(self) -> None:
        if self.run:
            self.run.finish(exit_code=0 if self.run.summary["status"] == "completed" else 1)

    def _begun(self, results: dict[str, Any]) -> Any:
        config, environment = results["config"], results.get("environment") or {}
        about = {
            "commit": (environment.get("git") or {}).get("commit"),
            "data_fingerprint": (results.get("data") or {}).get("fingerprint"),
        }
        is_fold = (self.path.parent / "config.yaml").is_file()
        return self.wandb.init(
            project=os.environ.get("WANDB_PROJECT") or config["experiment"]["name"],
            name=self.path.name,
            id=self.known["run_id"],
            group=(self.path.parent if is_fold else self.path).name,
            job_type="fold" if is_fold else "training",
            dir=self.path,
            config={**config, **about},
            settings=self.wandb.Settings(**_SETTINGS),
        )
