"""Starting several processes, being started as one of them, and leaving none behind."""

import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from forked_command import do_script, start_forked
from outcomes import read
from several_processes import do_together, end_the_other_process, starting_quickly
from torch.distributed import run as torchrun

from core.errors import InputError
from core.machine import device
from core.machine.process_group import ProcessRank
from core.running import launching
from core.running.launched_place import launched_place, meeting_point
from core.running.launching import check_devices

TRAIN = str(REPOSITORY / "code" / "train.py")
TORCHRUN = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SLURM = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "8"}
SBATCH = {**SLURM, "SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        (TORCHRUN, ProcessRank(3, 1, 4)),
        ({**TORCHRUN, "WORLD_SIZE": "1"}, None),
        (SLURM, ProcessRank(5, 1, 8)),
        (SBATCH, None),
        ({**SBATCH, "SLURM_STEP_ID": "0"}, ProcessRank(5, 1, 8)),
        ({**SLURM, **TORCHRUN}, ProcessRank(3, 1, 4)),
        ({"RANK": "0"}, None),
    ],
)
def test_the_place_is_what_a_launcher_says(environment, place):
    assert launched_place(environment) == place


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[03-05,9],big1", "gpu03"), ("big1,gpu3", "big1"), ("node-7", "node-7"), ("a[2,5]", "a2")],
)
def test_slurm_s_processes_meet_on_the_first_machine(nodes, first):
    step = {"SLURM_JOB_NODELIST": "x", "SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "123456"}
    assert meeting_point(step)["MASTER_ADDR"] == first
    ports = {int(meeting_point({**step, "SLURM_STEP_ID": n})["MASTER_PORT"]) for n in "012"}
    assert len(ports) == 3
    assert all(45_000 < port <= 65_000 for port in ports)


@pytest.mark.parametrize(
    ("cores", "processes", "more", "threads"),
    [
        (8, "2", {}, 4),
        (2, "3", {}, 1),
        (8, None, {}, None),
        (8, "2", {"OMP_NUM_THREADS": "3"}, None),
    ],
)
def test_processes_share_the_cores(cores, processes, more, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    for name, value in {"LOCAL_WORLD_SIZE": processes, **more}.items():
        if value:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(device.distributed, "size", lambda: 2)
    assert device.threads_of_each_process() == threads


def test_a_process_alone_is_given_no_number_of_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert device.threads_of_each_process() is None


def test_more_devices_than_gpus_are_refused(compose, tiny, monkeypatch):
    monkeypatch.setattr(launching, "choose_device", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices(compose(*tiny, "runtime.devices=2"))
    with pytest.raises(InputError, match=r"runtime\.devices=3: there are 2 GPUs.*give fewer"):
        check_devices(compose(*tiny, "runtime.devices=3"))


def test_a_batch_of_unknown_size_is_refused(compose, tiny):
    with pytest.raises(InputError, match=r"data\.batch_size=auto: .*runtime\.devices=2"):
        check_devices(compose(*tiny, "runtime.devices=2", "data.batch_size=auto"))


def test_another_number_than_was_launched_is_refused(compose, tiny, monkeypatch):
    monkeypatch.setattr(launching, "size", lambda: 4)
    for devices in (1, 4):
        check_devices(compose(*tiny, f"runtime.devices={devices}"))
    with pytest.raises(InputError, match=r"runtime\.devices=2: the launcher has started 4"):
        check_devices(compose(*tiny, "runtime.devices=2"))
    with pytest.raises(InputError, match=r"data\.batch_size=3: holds fewer images"):
        check_devices(compose(*tiny, "data.batch_size=3"))


@pytest.fixture
def small(tiny) -> list[str]:
    return [*tiny, "data.num_images=40", "training.num_epochs=1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("memory", "out of memory on cpu with data.batch_size=8"),
        ("killed", "was killed"),
        ("killed later", "was killed"),
    ],
)
def test_the_error_of_any_process_ends_all_in_one_line(how, words, compose, small, tmp_path):
    config = compose(*small, f"experiment.results_dir={tmp_path}")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(InputError, match=words):
        do_together(config, 2, [partial(end_the_other_process, config, how)])
    assert not multiprocessing.active_children()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    (path,) = tmp_path.iterdir()
    assert read(path)["status"] == "failed"
    assert words in read(path)["status_message"]


def test_what_reads_images_is_started_as_in_a_training_of_one_process(monkeypatch):
    """Not spawned, as a process that was spawned does: each would import for seconds."""
    usual, before = multiprocessing.get_start_method(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(launching, "start_log", lambda: None)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        found = launching._one_of_several(lambda: {"method": multiprocessing.get_start_method()})
    finally:
        multiprocessing.set_start_method(None, force=True)
        signal.signal(signal.SIGTERM, before)
    assert found == {"method": usual}


@pytest.mark.slow
def test_a_job_of_a_sweep_trains_on_its_devices(train_command, small, tmp_path):
    where = f"experiment.results_dir={tmp_path / 'results'}"
    with starting_quickly():
        ended = train_command("-m", *small, where, "runtime.devices=2", "experiment.seed=3")
    assert ended.exit_code == 0, ended.errors
    (path,) = (tmp_path / "results").glob("experiment_*")
    assert read(path)["status"] == "completed"
    assert read(path)["experiment"]["seed"] == 3
    assert read(path)["computation"]["devices"] == 2
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_torchrun_s_processes_are_adopted(small, tmp_path, capfd, monkeypatch):
    read_arguments = torchrun.config_from_args

    def forked(arguments):
        """Processes that are forked, with the environment of those that torchrun would start."""
        config, _, (_, *script) = read_arguments(arguments)
        config.start_method = "fork"
        return config, do_script, script

    monkeypatch.setattr(torchrun, "config_from_args", forked)
    script = [TRAIN, *small, f"experiment.results_dir={tmp_path}"]
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        torchrun.main(["--standalone", "--nproc-per-node=2", *script])
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    output = capfd.readouterr().out
    assert output.count("Experiment ") == output.count("Report: ") == 1
    (path,) = tmp_path.iterdir()
    assert read(path)["status"] == "completed"
    assert read(path)["computation"]["devices"] == 2


@pytest.mark.slow
def test_sigterm_to_all_stops_them_together_and_leaves_none(small, train_command, tmp_path):
    """As a scheduler sends it, to each process of the run; resumed with one process."""
    more = ["runtime.devices=2", "training.checkpoint_minutes=1e-9", "training.num_epochs=2"]
    more.append("data.num_workers=1")
    results, errors = tmp_path / "results", tmp_path / "errors"
    where = f"experiment.results_dir={results}"
    run = start_forked(TRAIN, *small, where, *more, errors=errors)
    while not list(results.glob("*/checkpoints/last.pt")):
        assert run.exitcode is None, errors.read_text()
        time.sleep(0.1)
    processes = in_group(run.pid)
    assert len(processes) >= 4
    os.killpg(run.pid, signal.SIGTERM)
    run.join()
    assert run.exitcode == 130
    (line,) = errors.read_text().strip().splitlines()
    assert line.startswith("Stopping after this step")
    # What started the others ends when it notices that this process has.
    until = time.monotonic() + 60
    while in_group(run.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not in_group(run.pid)
    (path,) = results.iterdir()
    assert read(path)["status"] == "interrupted"
    ended = train_command(f"resume={path}", "runtime.devices=1")
    assert ended.exit_code == 0, ended.errors
    assert "devices was 2, is 1" in ended.output
    assert read(path)["status"] == "completed"
    assert read(path)["computation"]["devices"] == 1


def in_group(group: int) -> list[int]:
    """The processes of a process group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, *numbers = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(numbers[1]) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found
