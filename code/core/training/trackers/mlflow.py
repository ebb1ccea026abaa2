"""An MLflow server: one run for each experiment's folder, and for each fold a child of it."""

import os
import platform
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.errors import InputError
from core.files.reading import read_json
from core.files.writing import write_json
from core.training.trackers.following import Tracker, figures, numbers
from core.validation import is_installed

RUN_FILE = "mlflow.json"
"""Which run an experiment's folder has: a resumed training goes on in it."""
_REQUIREMENT = "mlflow-skinny==3.17.2"
_ADDRESS = "MLFLOW_TRACKING_URI"
# Its own defaults are 7 retries and 120 seconds. What is set by the user stays.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_ENDS = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_FILES = (
    "results.json", "config.yaml", "train.log", "report.html", "MODEL_CARD.md", "history.png",
    "predictions.csv", "split.csv", "model_final.pt",
)  # fmt: skip
_LONGEST_VALUE, _MOST_METRICS, _MOST_PARAMS = 6000, 1000, 100
# For the run of a cross-validation, which is made by another thread.
_PATIENCE_SECONDS, _POLL_SECONDS = 5.0, 0.1


class MLflow(Tracker):
    """Sends parameters, the numbers of each epoch, the figures, how it ended, and files."""

    is_remote = True

    @classmethod
    def check(cls) -> None:
        if not is_installed("mlflow"):
            raise InputError(
                f"training.trackers: mlflow needs a package: pip install {_REQUIREMENT}"
            )
        if not os.environ.get(_ADDRESS, "").startswith(("http://", "https://")):
            raise InputError(
                f"training.trackers: mlflow needs the address of its server: set {_ADDRESS}="
                "http://HOST:5000 in the environment"
            )

    def __init__(self, path: Path) -> None:
        for key, value in _DEFAULTS.items():
            os.environ.setdefault(key, value)
        from mlflow import MlflowClient  # takes seconds, and reads the environment

        self.path, self.client = path, MlflowClient()
        self.known = read_json(path / RUN_FILE) if (path / RUN_FILE).is_file() else {}
        self.status, self._is_begun = "running", False

    def follow(self, results: dict[str, Any]) -> None:
        if "config" not in results:
            return  # it has just begun, or goes on
        if not self._is_begun:
            self._begin(results)
        self._tag(results)
        history = results.get("history", [])
        for record in history[self.known["epochs"] :]:
            values = numbers(record)
            self._log(values, int(values.pop("epoch")))
            self._note(epochs=record["epoch"])
        self.status = results["status"]
        if self.status in _ENDS:
            step = results.get("tested_epoch") or len(history)
            self._log(numbers(figures(results)), step)

    def close(self) -> None:
        if not self._is_begun:
            return  # it ended before it told anything: the run of an earlier process stays as it is
        self.client.set_tag(self.run_id, "status", self.status)
        self.client.set_terminated(self.run_id, _ENDS.get(self.status, "FAILED"))
        if self.status == "completed" and self._takes_files():
            for file in _FILES:
                if (self.path / file).is_file():
                    self.client.log_artifact(self.run_id, str(self.path / file))

    @property
    def run_id(self) -> str:
        return self.known["run_id"]

    def _begin(self, results: dict[str, Any]) -> None:
        """Make the run with its parameters, or go on in the one that an earlier process made."""
        if "run_id" not in self.known:
            begun = datetime.fromisoformat(results["experiment"]["created_at"])
            run = self.client.create_run(
                self._experiment(results),
                start_time=int(1000 * begun.timestamp()),
                tags=self._own_tags(),
                run_name=self.path.name,
            )
            self._note(run_id=run.info.run_id, epochs=0)
        else:
            self.client.update_run(self.run_id, status="RUNNING")
        if not self.known.get("params"):
            self._log_params(results["config"])
        self._is_begun = True

    def _experiment(self, results: dict[str, Any]) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or results["config"]["experiment"]["name"]
        if found := self.client.get_experiment_by_name(name):
            return found.experiment_id
        try:
            return self.client.create_experiment(name)
        except Exception:  # another training may have made it meanwhile
            if found := self.client.get_experiment_by_name(name):
                return found.experiment_id
            raise

    def _own_tags(self) -> dict[str, str]:
        tags = {"folder": str(self.path.resolve()), "host": platform.node(), "status": "running"}
        parent = self._parent()
        return tags | {"mlflow.parentRunId": parent} if parent else tags

    def _tag(self, results: dict[str, Any]) -> None:
        """Tell what data and code the run has, as soon as the results have it."""
        found = {
            "data_fingerprint": ("data", "fingerprint"),
            "mlflow.source.git.commit": ("environment", "git", "commit"),
        }
        for name, keys in found.items():
            value: Any = results
            for key in keys:
                value = (value or {}).get(key)
            if value and name not in self.known.get("tags", ()):
                self.client.set_tag(self.run_id, name, value)
                self._note(tags=[*self.known.get("tags", ()), name])

    def _parent(self) -> str | None:
        """The run of the cross-validation that this is a fold of."""
        file = self.path.parent / RUN_FILE
        if not (self.path.parent / "config.yaml").is_file():
            return None
        until = time.monotonic() + _PATIENCE_SECONDS
        while not file.is_file() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return read_json(file).get("run_id") if file.is_file() else None

    def _log_params(self, config: dict[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(_named(key), text[:_LONGEST_VALUE]) for key, text in _texts(config).items()]
        for first in range(0, len(params), _MOST_PARAMS):
            self.client.log_batch(self.run_id, params=params[first : first + _MOST_PARAMS])
        self._note(params=True)

    def _log(self, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_named(key), value, now, step) for key, value in values.items()]
        for first in range(0, len(metrics), _MOST_METRICS):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + _MOST_METRICS])

    def _note(self, **what: Any) -> None:
        self.known |= what
        write_json(self.path / RUN_FILE, self.known)

    def _takes_files(self) -> bool:
        """Whether files go to a server: a path of its own would be one of this machine."""
        scheme = urlsplit(self.client.get_run(self.run_id).info.artifact_uri).scheme
        return scheme not in ("", "file")


def _texts(nested: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """{"loss": {"gamma": 2}} as {"loss.gamma": "2"}."""
    found: dict[str, str] = {}
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            found |= _texts(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = "null" if value is None else str(value)
    return found


def _named(key: str) -> str:
    """The key in the letters that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", key)
