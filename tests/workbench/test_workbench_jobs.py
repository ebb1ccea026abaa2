"""Trainings that are started, stopped and resumed through the addresses of the server."""

import json
import math
import re
import signal
import subprocess
import sys
import time
import urllib.request
from functools import partial

import pytest
from conftest import REPOSITORY
from experiment_factory import read_results, write_experiment, write_results
from launching_workbench import launching
from outcomes import differences, outcome

from core.errors import InputError
from core.machine.processes import IS_SUPPORTED
from core.workbench.launching.checking import estimated
from core.workbench.launching.jobs import ENDED, QUEUED, RUNNING, JobQueue

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="processes are told apart by /proc")


@pytest.fixture
def page(tmp_path):
    with launching(tmp_path / "results", tmp_path / "queue") as found:
        yield found


@pytest.mark.slow
def test_a_training_is_started_followed_stopped_and_resumed(page, tmp_path):
    number = page.start(experiment__name="loops").json()["number"]
    job = page.until(number, RUNNING)
    assert job["label"] == "loops"
    assert job["devices"] == ["cpu"]
    assert job["command"].startswith("python code/train.py experiment.name=loops ")
    output = page.served.ask(f"/api/jobs/{number}/output").json()
    assert output["text"] == f"Experiment {tmp_path / 'results' / job['experiment']['name']}\n"
    assert page.served.post(f"/api/jobs/{number}/stop").json() == {"stopped": True}
    stopped = page.until(number, ENDED)
    assert stopped["status"] == "interrupted"
    following = page.served.ask(f"/api/jobs/{number}/output?start={output['next']}").json()
    assert following["text"] == "Interrupted\n"

    (resumable,) = page.served.ask("/api/jobs").json()["resumable"]
    assert resumable["key"] == job["experiment"]["key"]
    asked = {"key": resumable["key"], "request": page.request()}
    again = page.served.post("/api/jobs/resume", **asked).json()["number"]
    assert page.served.post("/api/jobs/resume", **asked).json()["number"] == again
    done = page.until(again, ENDED)
    assert (done["status"], done["experiment"]) == ("completed", job["experiment"])
    assert page.served.ask("/api/jobs").json()["resumable"] == []


def test_what_cannot_be_resumed_is_refused(page, tmp_path):
    results_dir = tmp_path / "results"
    write_experiment(results_dir, name="done")
    begun = write_experiment(results_dir, name="begun")
    write_results(begun, read_results(begun) | {"status": "interrupted"})
    page.launcher.index.update()

    def resume(key):
        return page.served.post("/api/jobs/resume", key=key, request=page.request())

    refused = resume(page.served.key("done"))
    assert refused.status == 422
    assert "done: cannot be resumed" in refused.json()["problem"]
    assert resume("../results/begun").status == 404
    page.start(experiment__name="loops")
    assert resume(page.served.key("begun")).status == 200
    twice = resume(page.served.key("begun"))
    assert (twice.status, twice.json()["problem"]) == (422, "begun: is in the queue already")


def test_a_waiting_job_is_removed(page):
    first, second = (page.start(experiment__name="loops").json()["number"] for _ in range(2))
    page.until(first, RUNNING)
    assert page.job(second)["state"] == QUEUED
    page.served.post(f"/api/jobs/{second}/stop")
    assert page.job(second)["status"] == "removed"
    assert page.served.post(f"/api/jobs/{second}/stop").json() == {"stopped": False}


def test_a_command_that_fails_says_why(page):
    number = page.start(experiment__name="fails").json()["number"]
    job = page.until(number, ENDED)
    assert (job["status"], job["experiment"]) == ("failed", None)
    assert job["message"] == "error: training.num_epochs=0: expected more"


@pytest.mark.slow
@pytest.mark.parametrize("number", ["999", "0", "-1", "9" * 40, "x", "1/../1", "..%2f1"])
def test_only_jobs_of_the_queue_have_output(page, number):
    page.start(experiment__name="ends")
    for answer in (
        page.served.ask(f"/api/jobs/{number}/output"), page.served.post(f"/api/jobs/{number}/stop")
    ):  # fmt: skip
        assert answer.status in (404, 422)


def test_output_is_read_in_parts_as_a_terminal_shows_it(page):
    number = page.start(experiment__name="loops").json()["number"]
    path = page.launcher.queue.output(number)
    path.write_bytes(b"")

    def read(query=""):
        return page.served.ask(f"/api/jobs/{number}/output{query}").json()

    assert read() == {"start": 0, "text": "", "next": 0, "rest": ""}
    path.write_bytes("one \x1b[31m\nRiß\n 10 %\r 20 %\r".encode())
    assert read() == {"start": 0, "text": "one \\x1b[31m\nRiß\n", "next": 15, "rest": " 20 %"}
    with path.open("ab") as stream:
        stream.write(b" 30 %\nlast\n" + b"x" * 70_000 + b"\nend\n")
    following = read("?start=15")
    assert following["text"].startswith(" 30 %\nlast\n")
    after = read(f"?start={following['next']}")
    assert after["text"] == "x" * (1 << 16)
    assert read()["text"] == "end\n"
    assert read("?start=999999999")["text"] == ""
    assert page.served.ask(f"/api/jobs/{number}/output?start=-5").status == 422


VALUES = {
    "data.source": "synthetic", "data.num_images": 60, "data.image_size": [32, 64],
    "data.class_shares": "flat", "data.batch_size": 8, "model.name": "timm",
    "model.backbone": "test_resnet", "model.pretrained": False, "training.num_epochs": 3,
    "training.learning_rate": 0.01, "evaluation.bootstrap_resamples": 100,
    "runtime.precision": "float32", "model.drop_rate": 0.3,
}  # fmt: skip


@pytest.mark.slow
def test_an_estimate_is_measured_on_the_data_of_the_form(tiny, tmp_path):
    found = estimated([*tiny, "training.num_epochs=3", "training.folds=3"])
    assert found["num_epochs"] == 9
    assert 0 < found["seconds_per_epoch"] < math.inf
    assert found["memory_mib"] is None or found["memory_mib"] > 0
    with pytest.raises(InputError, match=r"data\.root="):
        estimated([f"data.root={tmp_path / 'nowhere'}"])


def test_an_estimate_is_refused_where_the_training_is(page):
    found = page.served.post("/api/form/estimate", values={"training.num_epochs": 0}).json()
    assert found["path"] == "training.num_epochs"
    assert found == page.served.post("/api/form/check", values={"training.num_epochs": 0}).json()


@pytest.fixture
def start_server(tmp_path, monkeypatch):
    """Start `code/workbench.py`, and return its process and a function that asks it.

    Its Ctrl-C is ignored, as that of one started in the background.
    """
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    servers = []

    def start(*words):
        server = subprocess.Popen(
            [sys.executable, "code/workbench.py", "--port", "0", "--results-dir",
             str(tmp_path / "results"), *words],
            cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN),
        )  # fmt: skip
        servers.append(server)
        address = re.search(r"http://(127\.0\.0\.1:\d+)/login\S+", server.stdout.readline())
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(address[0], timeout=60).read()

        def ask(path, content=None):
            request = urllib.request.Request(f"http://{address[1]}{path}")
            if content is not None:
                request.data = json.dumps(content).encode()
                request.headers |= {
                    "Content-type": "application/json", "Origin": f"http://{address[1]}"
                }  # fmt: skip
            with browser.open(request, timeout=120) as answer:
                return json.load(answer)

        return server, ask

    yield start
    for server in servers:
        server.kill()
        server.communicate()
    (folder,) = (tmp_path / "state" / "steel_defects").iterdir()
    for job in JobQueue(folder).jobs(RUNNING):
        for each in job.process.session() if job.process else ():
            each.send(signal.SIGKILL)


@pytest.mark.slow
def test_a_training_over_two_servers_is_that_of_the_command_line(
    start_server, uninterrupted, tiny, tmp_path
):
    """Started by a server that is killed; stopped and resumed by the next one.

    With the same strips, values and seed, every figure, prediction and weight is the same.
    """
    wanted = uninterrupted()
    root = next(word for word in tiny if word.startswith("data.root=")).partition("=")[2]
    first, ask = start_server("--data-root", root)
    (place,) = ask("/api/form")["places"]["data.root"]
    values = {**VALUES, "data.root": place["key"]}
    number = ask("/api/jobs", {"values": values, "request": "request-1"})["number"]
    (queue,) = map(JobQueue, (tmp_path / "state" / "steel_defects").iterdir())

    def wait(found, seconds=120):
        end = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < end, queue.jobs()
            time.sleep(0.01)
        return value

    def history():
        folders = list((tmp_path / "results").glob("*/results.json"))
        return folders and read_results(folders[0].parent).get("history")

    process = wait(lambda: queue.find(number).process)
    wait(history)
    process.send(signal.SIGSTOP)  # it would be done before the next server is there
    path = tmp_path / "results" / wait(lambda: queue.find(number).experiment)
    assert read_results(path)["status"] == "running"
    first.kill()
    first.wait()
    _, ask = start_server("--data-root", root)
    assert ask("/api/jobs")["jobs"][0]["state"] == RUNNING
    assert ask(f"/api/jobs/{number}/stop", {}) == {"stopped": True}
    wait(lambda: queue.find(number).signals)
    process.send(signal.SIGCONT)
    assert wait(lambda: queue.find(number).status) == "interrupted"
    resumable = wait(lambda: ask("/api/jobs")["resumable"])[0]["key"]
    again = ask("/api/jobs/resume", {"key": resumable, "request": "request-2"})["number"]
    assert wait(lambda: queue.find(again).status) == "completed", queue.find(again)
    assert len(read_results(path)["experiment"]["resumed_at"]) == 1
    assert not differences(outcome(wanted), outcome(path))
