"""A workbench that runs in this process, and questions sent to it as they are written."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from core.workbench.app import build_app
from core.workbench.child import directly
from core.workbench.guard import Guard
from core.workbench.index import ExperimentIndex
from core.workbench.launching.launcher import Launcher
from core.workbench.reviews import Reviews
from core.workbench.strip_sources import StripSources

TOKEN = "a token with 32 letters or so"
# Servers that were told to end, which takes each a fifth of a second: only the next waits for it.
_ending: list[threading.Thread] = []


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    port: int
    index: ExperimentIndex

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cookie(self) -> str:
        return f'workbench_{self.port}="{TOKEN}"'

    def ask(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str | None
    ) -> Answer:
        """The answer to this very path; a header of None is left out, `_` stands for `-`."""
        sent = {"Host": self.host, "Cookie": self.cookie()}
        if body:
            sent["Content-Length"] = str(len(body))
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def rows(self, *columns: str) -> dict[str, dict[str, Any]]:
        """The rows that the page gets, by name."""
        query = "&".join(f"column={name}" for name in columns)
        return {
            row["name"]: row for row in self.ask(f"/api/experiments?{query}").json()["experiments"]
        }

    def key(self, name: str) -> str:
        return self.rows()[name]["key"]

    def post(self, path: str, **content: Any) -> Answer:
        """The answer to this content, sent as a page of this server sends it."""
        headers = {"Content_Type": "application/json", "Origin": f"http://{self.host}"}
        return self.ask(path, "POST", json.dumps(content).encode(), **headers)


@contextlib.contextmanager
def running(
    results_dir: Path,
    watched: bool = False,
    wrapped: Callable[[Any], Any] = lambda app: app,
    data_root: Path | None = None,
    decisions: Path | None = None,
    launcher_of: Callable[[ExperimentIndex], Launcher | None] = lambda index: None,
    allowed_hosts: Sequence[str] = (),
) -> Iterator[Running]:
    """Serve `results_dir`; unless it is watched, it is read once, before."""
    while _ending:
        _ending.pop().join(20)
    index = ExperimentIndex(results_dir, directly)
    index.update()
    listener = socket.socket()  # the server closes it
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    strips = StripSources(index, directly, data_root)
    reviews = Reviews(index, directly, decisions)
    app = build_app(index, directly, strips, reviews, launcher_of(index))
    app = Guard(app, TOKEN, [f"127.0.0.1:{port}", *allowed_hosts], f"workbench_{port}")
    config = uvicorn.Config(wrapped(app), lifespan="off", log_config=None, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    if watched:
        index.watch()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Running(port, index)
    finally:
        index.close()
        server.should_exit = True
        _ending.append(thread)
