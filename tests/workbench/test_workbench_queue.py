"""The queue of trainings and what runs it, with a stand-in for the training."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import REPOSITORY

from core.errors import InputError
from core.experiments.lock import is_locked
from core.machine.processes import IS_SUPPORTED, Process
from core.workbench.child import directly
from core.workbench.launching import runner as runner_module
from core.workbench.launching.jobs import ENDED, QUEUED, RUNNING, JobQueue
from core.workbench.launching.runner import Runner

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="processes are told apart by /proc")
FAKE = [sys.executable, str(Path(__file__).with_name("fake_training.py"))]


@pytest.fixture
def queue(tmp_path):
    made = JobQueue(tmp_path / "queue")
    yield made
    for job in made.jobs(RUNNING):
        for each in job.process.session() if job.process else ():
            each.send(signal.SIGKILL)


@pytest.fixture
def results_dir(tmp_path):
    return tmp_path / "results"


def runner_of(queue, results_dir, num_gpus=0):
    command = [*FAKE, str(results_dir)]
    return Runner(queue, results_dir, directly, lambda: num_gpus, command)


def submit(queue, results_dir, *words, request=None, **about):
    about = {"label": "x", "wants": "cpu", "num_devices": 1} | about
    request = request or f"request {time.monotonic_ns()}"
    return queue.submit(request, str(results_dir.resolve()), words, **about)


def tick_until(runner, done, seconds=30):
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, runner.queue.jobs()
        runner.tick()
        time.sleep(0.01)
    return found


def in_state(queue, number, state):
    def look():
        job = queue.find(number)
        return job if job.state == state and (state != RUNNING or job.experiment) else None

    return look


def test_jobs_run_one_after_another_and_end_with_the_status_of_their_experiment(queue, results_dir):
    runner = runner_of(queue, results_dir)
    first, second = (submit(queue, results_dir, how) for how in ("ends", "fails"))
    runner.tick()
    assert [job.state for job in queue.jobs()] == [RUNNING, QUEUED]
    ended = tick_until(runner, in_state(queue, first, ENDED))
    assert (ended.status, ended.message) == ("completed", "")
    assert (results_dir / ended.experiment / "results.json").is_file()
    failed = tick_until(runner, in_state(queue, second, ENDED))
    assert failed.experiment is None
    assert failed.status == "failed"
    assert failed.message == "error: training.num_epochs=0: expected more"


def test_a_job_that_names_its_folder_and_ends_between_two_looks(queue, results_dir, monkeypatch):
    find, looks = Runner._find_experiment, []

    def too_early(runner, job):
        looks.append(job.number)
        if len(looks) > 1:
            return find(runner, job)
        runner._children[job.number].wait()
        return None

    monkeypatch.setattr(Runner, "_find_experiment", too_early)
    number = submit(queue, results_dir, "ends")
    ended = tick_until(runner_of(queue, results_dir), in_state(queue, number, ENDED))
    assert (ended.status, ended.message) == ("completed", "")
    assert looks == [number, number]


def test_a_stop_is_ctrl_c_and_resuming_goes_on_in_the_same_folder(queue, results_dir):
    runner = runner_of(queue, results_dir)
    number = submit(queue, results_dir, "loops")
    job = tick_until(runner, in_state(queue, number, RUNNING))
    assert queue.ask_to_stop(number)
    stopped = tick_until(runner, in_state(queue, number, ENDED))
    assert (stopped.status, stopped.signals) == ("interrupted", 1)
    folder = results_dir / job.experiment
    again = submit(queue, results_dir, "ends", f"resume={folder}", experiment=job.experiment)
    done = tick_until(runner, in_state(queue, again, ENDED))
    assert (done.status, done.experiment) == ("completed", job.experiment)
    assert [path.name for path in results_dir.iterdir()] == [job.experiment]


@pytest.mark.slow
def test_what_does_not_stop_is_killed_with_its_workers(queue, results_dir, monkeypatch):
    steps = ((0, signal.SIGINT), (0.2, signal.SIGTERM), (0.4, signal.SIGKILL))
    monkeypatch.setattr(runner_module, "STEPS", steps)
    runner = runner_of(queue, results_dir)
    number = submit(queue, results_dir, "stubborn")
    job = tick_until(runner, in_state(queue, number, RUNNING))
    members = tick_until(runner, lambda: len(found := job.process.session()) > 1 and found)
    queue.ask_to_stop(number)
    ended = tick_until(runner, in_state(queue, number, ENDED))
    assert (ended.status, ended.signals) == ("no process", 3)
    assert not any(member.is_alive() for member in members)


def test_of_two_servers_one_sends_ctrl_c_and_it_comes_first_however_late(queue, results_dir):
    runners = [runner_of(queue, results_dir) for _ in range(2)]
    number = submit(queue, results_dir, "stubborn")
    tick_until(runners[0], in_state(queue, number, RUNNING))
    queue.ask_to_stop(number)
    with sqlite3.connect(queue.database) as connection:
        connection.execute("UPDATE jobs SET stop_asked_at = stop_asked_at - 1000")
    seen = queue.find(number)
    sent = []
    for runner in runners:  # both saw that nothing was sent yet
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Process, "send", lambda process, number: sent.append(number))
            runner._stop(seen)
    assert sent == [signal.SIGINT]
    runners[0].tick()
    assert queue.find(number).signals == 1  # the minute begins with it


def test_a_job_that_ended_is_not_held_by_who_has_its_experiment(queue, results_dir):
    """Such as a training in a terminal, because of which it was refused."""
    folder = results_dir / "run"
    command = [*FAKE, str(results_dir), "loops", f"resume={folder}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as terminal:
        assert terminal.stdout.readline().startswith("Experiment")
        assert is_locked(folder)
        number = submit(queue, results_dir, "fails", experiment="run")
        try:
            ended = tick_until(runner_of(queue, results_dir), in_state(queue, number, ENDED))
        finally:
            terminal.kill()
    assert ended.status == "failed"
    assert ended.message == "error: training.num_epochs=0: expected more"


def test_after_a_new_start_of_the_machine_nobody_is_killed(queue, results_dir, monkeypatch):
    runner = runner_of(queue, results_dir)
    number = submit(queue, results_dir, "loops")
    job = tick_until(runner, in_state(queue, number, RUNNING))
    monkeypatch.setattr(runner_module, "boot_id", lambda: "another")
    runner.tick()
    assert (queue.find(number).state, queue.find(number).status) == (ENDED, "no process")
    assert job.process.is_alive()
    job.process.send(signal.SIGKILL)


def test_an_error_about_one_job_leaves_the_others(queue, results_dir, monkeypatch, caplog):
    runner = runner_of(queue, results_dir, num_gpus=1)
    number = submit(queue, results_dir, "loops", wants="gpu")
    tick_until(runner, in_state(queue, number, RUNNING))
    look_at = Runner._look_at

    def fails(self, job):
        if job.number == number:
            raise PermissionError
        look_at(self, job)

    monkeypatch.setattr(Runner, "_look_at", fails)
    other = submit(queue, results_dir, "ends")
    tick_until(runner, in_state(queue, other, ENDED))
    assert f"Job {number} could not be looked after" in caplog.text


def test_a_queued_job_is_removed_and_never_starts(queue, results_dir):
    number = submit(queue, results_dir, "ends")
    assert queue.ask_to_stop(number)
    runner_of(queue, results_dir).tick()
    assert (queue.find(number).state, queue.find(number).status) == (ENDED, "removed")
    assert not queue.ask_to_stop(number)
    assert not queue.ask_to_stop(999)


def test_a_request_that_is_sent_twice_is_one_job(queue, results_dir):
    numbers = {submit(queue, results_dir, "ends", request="same") for _ in range(3)}
    assert len(queue.jobs()) == len(numbers) == 1


def test_every_job_is_claimed_once(queue, results_dir):
    for _ in range(40):
        submit(queue, results_dir, "ends")
    folder, own = str(results_dir.resolve()), Process.own()

    def claim_all(_):
        numbers = []
        while job := JobQueue(queue.folder).claim(folder, ["cpu"], own):
            numbers.append(job.number)
            queue.end(job, "completed", "")
        return numbers

    with ThreadPoolExecutor(8) as pool:
        claimed = [number for numbers in pool.map(claim_all, range(8)) for number in numbers]
    assert sorted(set(claimed)) == sorted(claimed)
    # While one thread has the processor's slot, another may find nothing free, and leave.
    assert set(claimed) | {job.number for job in queue.jobs(QUEUED)} == set(range(1, 41))


def test_each_device_has_one_job_and_none_is_overtaken(queue, results_dir):
    for wants, count in (("gpu", 1), ("gpu", 2), ("gpu", 1), ("cpu", 1), ("cpu", 1)):
        submit(queue, results_dir, "ends", wants=wants, num_devices=count)
    submit(queue, results_dir.with_name("other"), "ends")
    devices, own = ["cpu", "0", "1"], Process.own()
    folder = str(results_dir.resolve())

    def claimed():
        found = queue.claim(folder, devices, own)
        return found and (found.number, found.devices)

    assert claimed() == (1, ["0"])
    assert claimed() == (4, ["cpu"])  # job 2 waits for both, and job 3 does not overtake it
    assert claimed() is None
    queue.end(queue.find(1), "completed", "")
    assert claimed() == (2, ["0", "1"])
    assert claimed() is None
    queue.end(queue.find(4), "completed", "")
    other = str(results_dir.with_name("other").resolve())
    assert queue.claim(other, devices, own).number == 6
    assert claimed() is None  # the processor is in use, by a job of another folder


def test_a_job_that_wants_more_than_there_are_lets_others_pass(queue, results_dir):
    submit(queue, results_dir, "ends", wants="gpu", num_devices=2)
    second = submit(queue, results_dir, "ends", wants="gpu")
    claimed = queue.claim(str(results_dir.resolve()), ["cpu", "0"], Process.own())
    assert claimed.number == second


def test_an_experiment_is_in_the_queue_once(queue, results_dir):
    def resume(number):
        try:
            return submit(queue, results_dir, "resume=x", request=f"r {number}", experiment="x")
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(resume, range(4)))
    assert found.count("x: is in the queue already") == 3
    assert resume(1) in (1, "x: is in the queue already")


def test_a_job_sees_the_devices_that_it_was_given(queue, results_dir, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    runner = runner_of(queue, results_dir, num_gpus=2)
    number = submit(queue, results_dir, "ends", wants="gpu", num_devices=2)
    job = tick_until(runner, in_state(queue, number, ENDED))
    results = json.loads((results_dir / job.experiment / "results.json").read_text())
    assert results["environment"]["visible"] == "4,7"


SERVER = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from test_workbench_queue import JobQueue, runner_of
runner = runner_of(JobQueue(Path({queue!r})), Path({results!r}))
while True:
    runner.tick()
    time.sleep(0.01)
"""


@pytest.fixture
def server_process(queue, results_dir):
    """Another process that runs the queue, as a server does."""
    paths = [str(REPOSITORY / "code"), str(REPOSITORY / "tests"), str(Path(__file__).parent)]
    script = SERVER.format(paths=paths, queue=str(queue.folder), results=str(results_dir))
    server = subprocess.Popen([sys.executable, "-c", script])
    yield server
    server.kill()
    server.wait()


@pytest.mark.slow
def test_a_job_outlives_a_server_that_is_killed_and_is_found_by_the_next(
    queue, results_dir, server_process
):
    number = submit(queue, results_dir, "loops")
    waiting = submit(queue, results_dir, "ends")
    end = time.monotonic() + 30
    while not (job := in_state(queue, number, RUNNING)()):
        assert time.monotonic() < end
        time.sleep(0.01)
    server_process.kill()
    server_process.wait()
    assert job.process.is_alive()
    successor = runner_of(queue, results_dir)
    successor.tick()
    assert queue.find(number).state == RUNNING
    assert queue.find(waiting).state == QUEUED
    queue.ask_to_stop(number)
    assert tick_until(successor, in_state(queue, number, ENDED)).status == "interrupted"
    assert tick_until(successor, in_state(queue, waiting, ENDED)).status == "completed"


def test_a_job_whose_server_died_before_starting_it_is_queued_again(queue, results_dir):
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = Process(gone.pid, int(Path(f"/proc/{gone.pid}/stat").read_text().split()[21]))
    assert server.is_alive()
    number = submit(queue, results_dir, "ends")
    first = queue.claim(str(results_dir.resolve()), ["cpu"], server)
    runner = runner_of(queue, results_dir)
    runner.tick()
    assert queue.find(number).state == RUNNING  # that server may be about to start it
    gone.communicate(b"\n")
    assert not server.is_alive()
    done = tick_until(runner, in_state(queue, number, ENDED))
    assert done.status == "completed"
    # What that server started at its last moment comes too late, and does not train.
    assert not queue.register(number, first.claim, Process.own())


def test_a_number_that_another_process_has_now_is_nobody(queue):
    own = Process.own()
    other = Process(own.pid, own.began - 1)
    assert own.is_alive()
    assert not other.is_alive()
    assert not other.send(0)
    assert other.session() == []


def test_a_queue_that_cannot_be_read_is_one_sentence(tmp_path):
    queue = JobQueue(tmp_path / "queue")
    queue.folder.mkdir()
    queue.database.write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match=r"damaged .* to begin a new queue"):
        queue.jobs()
    queue.database.write_bytes(b"")  # as a disk that was full may leave it
    assert queue.jobs() == []
    assert queue.known("request") is None
    if os.getuid():
        (tmp_path / "mine").mkdir(0o500)
        with pytest.raises(InputError, match="set XDG_STATE_HOME"):
            submit(JobQueue(tmp_path / "mine" / "queue"), tmp_path, "ends")


def test_the_oldest_jobs_are_forgotten_with_their_output(queue, results_dir):
    first = submit(queue, results_dir, "ends")
    queue.output(first).write_text("printed")
    queue.ask_to_stop(first)
    with sqlite3.connect(queue.database) as connection:
        connection.executemany(
            "INSERT INTO jobs (request, folder, cwd, label, words, wants, num_devices, state, "
            "submitted_at) VALUES (?, '', '', '', '[]', 'cpu', 1, 'ended', 0)",
            [[f"old {number}"] for number in range(200)],
        )
    submit(queue, results_dir, "ends")
    assert queue.find(first) is None
    assert not queue.output(first).exists()
    assert len(queue.jobs()) == 201
