"""The workbench as a server on this machine."""

import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from core.command.terminal import show
from core.errors import InputError
from core.workbench.app import build_app
from core.workbench.child import ChildProcess, end_children
from core.workbench.guard import Guard
from core.workbench.index import ExperimentIndex
from core.workbench.launching.jobs import user_queue
from core.workbench.launching.launcher import Launcher
from core.workbench.reviews import Reviews
from core.workbench.strip_sources import StripSources

# Other machines reach it through a tunnel or a proxy, which have their own way to know the user.
_ADDRESS = "127.0.0.1"
_NAMES = (_ADDRESS, "localhost")
_MOST_CONNECTIONS = 200


def serve(
    results_dir: Path,
    port: int,
    allowed_hosts: Sequence[str] = (),
    data_root: Path | None = None,
    decisions: Path | None = None,
) -> None:
    """Serve the pages until Ctrl-C, and print the address to open.

    `data_root` is a data set to browse; the strips of an experiment are also looked for there.
    `decisions` is the store of all reviews; None: one for each data set, in `results_dir`.
    Raises InputError where the port is taken.
    """
    with _listening(port) as listener:
        port = listener.getsockname()[1]
        token, ask = secrets.token_urlsafe(32), ChildProcess()
        index = ExperimentIndex(results_dir)
        # In processes of their own: a comparison may take a minute, and a model needs torch.
        ask_table, ask_model, ask_form = ChildProcess(), ChildProcess(), ChildProcess()
        strips = StripSources(index, ask_table, data_root, ask_model)
        reviews = Reviews(index, ask_table, decisions)
        launcher = Launcher(index, user_queue(), ask_form, data_root)
        hosts = [f"{name}:{port}" for name in _NAMES] + list(allowed_hosts)
        # Cookies are shared by all ports of a host: each workbench has its own.
        app = build_app(index, ask, strips, reviews, launcher)
        app = Guard(app, token, hosts, cookie=f"workbench_{port}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off",
            limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=2, log_config=None,
        )  # fmt: skip
        server = _Server(config, (index, ask, ask_table, ask_model, ask_form))
        show(f"Workbench: http://{_ADDRESS}:{port}/login?token={token}")
        show("The address is for you alone: who has it can read your experiments. Ctrl-C ends it.")
        index.watch()
        launcher.runner.watch()
        try:
            server.run(sockets=[listener])
        finally:
            launcher.runner.close()
            server.close()


class _Server(uvicorn.Server):
    """Ends what requests wait for before it waits for the requests."""

    def __init__(self, config: uvicorn.Config, asked: Sequence[ExperimentIndex | ChildProcess]):
        super().__init__(config)
        self._asked = asked

    def close(self) -> None:
        """End the processes that are asked, whatever they do."""
        for each in self._asked:
            each.close()
        end_children()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.close()
        await super().shutdown(sockets)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_ADDRESS, port))
            # From here on a browser waits for its answer: the address may be printed.
            listener.listen()
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be used ({error.strerror}): give another, or 0 for any "
                "that is free"
            ) from None
        yield listener
