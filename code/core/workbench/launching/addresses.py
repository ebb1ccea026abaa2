"""The addresses of the page on which trainings are started, stopped and resumed."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from core.errors import InputError, UnavailableError
from core.files.escaping import for_terminal
from core.workbench.answers import answer, find
from core.workbench.index import ExperimentIndex
from core.workbench.launching.launcher import Launcher
from core.workbench.launching.output import read_output

_LARGEST = 1 << 53
_REFUSED, _NOT_NOW = 422, 503


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FormValues(_Body):
    """What somebody changed in a form: values of JSON, by keys of the config."""

    values: dict[str, Any]


class _Asked(_Body):
    request: str = Field(pattern=r"^[A-Za-z0-9-]{8,64}$")
    """A name for this request, under which it is carried out once."""


class NewJob(_Asked, FormValues):
    """A training to be queued."""


class Resumption(_Asked):
    """An experiment to be continued, by its key."""

    key: str = Field(max_length=200)


class Nothing(_Body):
    """The body of a request that says everything in its address."""


def add_launching(app: FastAPI, index: ExperimentIndex, launcher: Launcher) -> None:
    """Add the addresses of forms and of the queue."""
    _add_form(app, index, launcher)
    _add_queue(app, index, launcher)


def _add_form(app: FastAPI, index: ExperimentIndex, launcher: Launcher) -> None:
    @app.get("/api/form")
    def form(request: Request) -> Response:
        index.keep_watching()
        return _told(lambda: answer(request, launcher.described()))

    @app.get("/api/form/clone")
    def clone(request: Request, key: Annotated[str, Query(max_length=200)]) -> Response:
        found = find(index, key)
        return _told(lambda: answer(request, launcher.clone(found)))

    @app.post("/api/form/check")
    def check(request: Request, body: FormValues) -> Response:
        return _told(lambda: answer(request, launcher.check(body.values)))

    @app.post("/api/form/standards")
    def standards(request: Request, body: FormValues) -> Response:
        return _told(lambda: answer(request, {"values": launcher.standards(body.values)}))

    @app.post("/api/form/estimate")
    def estimate(request: Request, body: FormValues) -> Response:
        return _told(lambda: answer(request, launcher.estimate(body.values)))


def _add_queue(app: FastAPI, index: ExperimentIndex, launcher: Launcher) -> None:
    @app.get("/api/jobs")
    def jobs(request: Request) -> Response:
        index.keep_watching()
        return _told(lambda: answer(request, launcher.jobs()))

    @app.post("/api/jobs")
    def submit(request: Request, body: NewJob) -> Response:
        return _told(lambda: _queued(request, launcher.submit(body.values, body.request)))

    @app.post("/api/jobs/resume")
    def resume(request: Request, body: Resumption) -> Response:
        found = find(index, body.key)
        return _told(lambda: _queued(request, launcher.resume(found, body.request)))

    @app.post("/api/jobs/{number}/stop")
    def stop(request: Request, number: int, body: Nothing) -> Response:
        return _told(lambda: answer(request, {"stopped": launcher.stop(_known(launcher, number))}))

    @app.get("/api/jobs/{number}/output")
    def output(
        request: Request,
        number: int,
        start: Annotated[int | None, Query(ge=0, le=_LARGEST)] = None,
    ) -> Response:
        path = launcher.queue.output(_known(launcher, number))
        return answer(request, read_output(path, start))


def _known(launcher: Launcher, number: int) -> int:
    if abs(number) > _LARGEST or launcher.queue.find(number) is None:
        raise HTTPException(404, "No such job")
    return number


def _queued(request: Request, outcome: dict[str, Any]) -> Response:
    if "problem" in outcome:
        return JSONResponse(outcome, _REFUSED)
    return answer(request, outcome)


def _told(do: Callable[[], Response]) -> Response:
    """What it answers, or the mistake as one line."""
    try:
        return do()
    except InputError as error:
        status = _NOT_NOW if isinstance(error, UnavailableError) else _REFUSED
        return JSONResponse({"problem": for_terminal(str(error)), "path": ""}, status)
