"""The command that serves the workbench, as a process of its own."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from conftest import REPOSITORY
from experiment_factory import write_experiment

COMMAND = [sys.executable, "code/workbench.py"]


def start(results_dir, *words):
    return subprocess.Popen(
        [*COMMAND, "--results-dir", str(results_dir), *words],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell that starts the tests in the background leaves it ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.slow
def test_it_prints_its_address_serves_and_ends_with_ctrl_c(tmp_path):
    write_experiment(tmp_path, name="plain")
    server = start(tmp_path, "--port", "0")
    try:
        address = re.search(
            r"http://127\.0\.0\.1:\d+/login\?token=[\w-]{43}$", server.stdout.readline()
        )
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        page = browser.open(address[0], timeout=60)
        assert b"app.js" in page.read()
        assert "token" not in page.url
        listed = browser.open(page.url + "api/experiments", timeout=60)
        assert listed.status == 200
        # Its answer takes seconds, and is not waited for.
        about = {"Content-Type": "application/json", "Origin": page.url.rstrip("/")}
        body = b'{"values": {"experiment": "quickstart"}}'
        question = urllib.request.Request(page.url + "api/form/check", body, about)
        with ThreadPoolExecutor() as threads:
            threads.submit(browser.open, question, timeout=60)
            time.sleep(1)
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=60)
        assert (server.returncode, errors) == (130, "")
    finally:
        server.kill()
        server.communicate()


@pytest.mark.slow
def test_a_taken_port_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = start(tmp_path, "--port", port)
        output, errors = server.communicate(timeout=60)
    assert (server.returncode, output) == (2, "")
    assert errors.startswith(f"error: --port {port}: cannot be used (")
    assert errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--port", "65536"], ["--allowed-host", "http://x/"]])
def test_what_cannot_be_is_refused(words, tmp_path):
    server = start(tmp_path, *words)
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 2
    assert f"{words[0]} {words[1]}: expected" in errors


@pytest.mark.slow
def test_another_machine_is_not_served(tmp_path):
    server = start(tmp_path, "--port", "0")
    try:
        port = int(re.search(r":(\d+)/", server.stdout.readline())[1])
        for address, is_served in (("127.0.0.1", True), ("127.0.0.2", False)):
            with socket.socket() as outside:
                outside.settimeout(10)
                assert (outside.connect_ex((address, port)) == 0) == is_served
    finally:
        server.kill()
        server.communicate()
