"""The MLflow tracker, with the real client, against a small server of this test."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from training.followed import finish, record, training

from core.experiments.folder import ExperimentFolder
from core.training.trackers.mlflow import RUN_FILE

pytest.importorskip("mlflow", reason="mlflow-skinny is an optional package")

# The client waits for so long where a server does not answer; 3 seconds by default.
TIMEOUT_SECONDS = 1
NO_RUN = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}


class Server(ThreadingHTTPServer):
    """Answers what the client asks, and keeps it; from `dies_after` requests on, it hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, dict]] = []
        self.files: list[str] = []
        self.runs: list[dict] = []
        self.dies_after, self.is_hanging = 10**6, False
        self.released = threading.Event()

    def of(self, what: str) -> list[dict]:
        """The content of the requests for this."""
        return [content for path, content in self.asked if path.endswith(f"/mlflow/{what}")]

    def metrics(self) -> dict[tuple[str, int], float]:
        batches = [each.get("metrics", []) for each in self.of("runs/log-batch")]
        return {(each["key"], each["step"]): each["value"] for batch in batches for each in batch}

    def params(self) -> dict[str, str]:
        batches = [each.get("params", []) for each in self.of("runs/log-batch")]
        return {each["key"]: each["value"] for batch in batches for each in batch}


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if self.server.is_hanging:
            self.server.released.wait(60)
        if len(self.server.asked) >= self.server.dies_after:
            self.connection.close()
            return
        if found := re.search(r"/artifacts/[^/]+/[^/]+/(.+)$", path):
            self.server.files.append(found[1])
            content: dict = {}
        else:
            content = json.loads(body or b"{}")
        self.server.asked.append((path, content))
        answer = self._answer(path, content)
        text = json.dumps(answer).encode()
        self.send_response(404 if answer is NO_RUN else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST  # noqa: N815

    def _answer(self, path: str, content: dict) -> dict:
        if path.endswith("experiments/get-by-name"):
            return NO_RUN
        if path.endswith("experiments/create"):
            return {"experiment_id": "7"}
        if path.endswith("runs/create"):
            self.server.runs.append(content)
        number = len(self.server.runs)
        place = f"mlflow-artifacts:/{self.server.server_port}/{number}"  # remembered by the client
        info = {
            "run_id": f"run_{number}", "run_uuid": f"run_{number}", "experiment_id": "7",
            "status": "RUNNING", "start_time": 1, "artifact_uri": place,
        }  # fmt: skip
        return {"run": {"info": info, "data": {}}, "run_info": info}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT_SECONDS))
    with Server() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Callable[[], ExperimentFolder]:
    monkeypatch.setattr(ExperimentFolder.schema, "model_validate", lambda *_, **__: None)
    return lambda name="pits_1": ExperimentFolder.at(tmp_path / name)


def until(holds: Callable[[], bool]) -> None:
    """Wait until the tracker's thread is so far."""
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("the tracker did not get so far")


def test_a_run_holds_what_the_experiment_does(server, folder):
    with training(own := folder(), "mlflow"):
        (own.path / "config.yaml").write_text("a: 1")
        finish(own)
    (run,) = server.runs
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert run["run_name"] == "pits_1"
    assert tags["folder"] == str(own.path)
    assert [tag["value"] for tag in server.of("runs/set-tag")] == ["abc", "completed"]
    assert server.of("experiments/create") == [{"name": "pits"}]
    assert server.params()["loss.gamma"] == "2.0"
    assert server.params()["loss.alpha"] == "null"
    found = server.metrics()
    assert (found["train/loss", 1], found["train/loss", 2]) == (1.0, 0.5)
    assert ("epoch", 1) not in found
    began = datetime.fromisoformat(own.results["experiment"]["created_at"])
    assert int(run["start_time"]) == 1000 * began.timestamp()
    assert found["test/macro/f1", 2] == 0.5
    assert not any("intervals" in key or "auroc" in key for key, _ in found)
    assert sorted(server.files) == ["config.yaml", "results.json"]
    assert server.of("runs/update")[-1]["status"] == "FINISHED"


def test_data_and_commit_are_told_once_they_are_known(server, folder):
    """A fold of a cross-validation begins before its environment is described."""
    with training(own := folder(), "mlflow"):
        until(lambda: server.runs)
        own.record(environment={"git": {"commit": "12ab", "changed": False}})
        until(lambda: len(server.of("runs/set-tag")) == 2)
        finish(own)
    told = {tag["key"]: tag["value"] for tag in server.of("runs/set-tag")}
    assert told == {
        "data_fingerprint": "abc", "mlflow.source.git.commit": "12ab", "status": "completed",
    }  # fmt: skip
    assert len(server.of("runs/set-tag")) == 3


@pytest.mark.parametrize(("status", "end"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_how_a_training_ended_is_told_and_it_goes_on_in_its_run(server, folder, status, end):
    with training(own := folder(), "mlflow"):
        own.record(history=[record(1)])
        own.record(status=status)
    assert server.of("runs/update")[-1]["status"] == end
    assert not server.files
    again = folder()
    with training(again, "mlflow"):
        finish(again)
    assert len(server.runs) == 1
    assert [each["status"] for each in server.of("runs/update")] == [end, "RUNNING", "FINISHED"]
    losses = [key for key in server.metrics() if key[0] == "train/loss"]
    sent = [m for each in server.of("runs/log-batch") for m in each.get("metrics", [])]
    assert len([each for each in sent if each["key"] == "train/loss"]) == len(losses) == 2
    assert len([each for each in server.of("runs/log-batch") if each.get("params")]) == 1


def test_folds_are_children(server, folder):
    with training(parent := folder("crossed"), "mlflow"):
        (parent.path / "config.yaml").write_text("a: 1")
        with training(fold := folder("crossed/fold_1"), "mlflow"):
            finish(fold)
        finish(parent)
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in server.runs]
    assert "mlflow.parentRunId" not in tags[0]
    assert tags[1]["mlflow.parentRunId"] == "run_1"
    assert server.of("runs/update")[-1]["run_id"] == "run_1"


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["refuses", "hangs", "dies", "hangs later"])
def test_trouble_with_the_server_is_one_warning(server, folder, trouble, monkeypatch, caplog):
    server.is_hanging = trouble == "hangs"
    if trouble == "refuses":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with training(own := folder(), "mlflow"):
        own.record(history=[record(1)])
        if trouble in ("dies", "hangs later"):
            until(lambda: ("train/loss", 1) in server.metrics())
            server.is_hanging = trouble == "hangs later"
            server.dies_after = len(server.asked) if trouble == "dies" else server.dies_after
        own.record(history=[record(1), record(2)])
        finish(own)
    warnings = [each.message for each in caplog.records if "training.trackers" in each.message]
    assert len(warnings) == 1
    assert warnings[0].startswith("training.trackers: mlflow is off, the training goes on: ")
    assert json.loads(own.results_file.read_text())["status"] == "completed"
    assert (own.path / RUN_FILE).is_file() == (trouble in ("dies", "hangs later"))


def test_telemetry_is_off_and_nothing_is_tried_again(server, folder):
    with training(own := folder(), "mlflow"):
        finish(own)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == str(TIMEOUT_SECONDS)
    assert Path(own.path / RUN_FILE).is_file()
