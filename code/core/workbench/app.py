"""The addresses of the server: the pages, and what they ask for."""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from starlette.responses import Response

from core.errors import InputError
from core.files.escaping import for_terminal
from core.workbench.answers import Encoded, answer, encoded, find, find_some, sent
from core.workbench.comparing import MOST_COMPARED, compare
from core.workbench.files import FIRST_PAGE, OF_EXPERIMENT, files_of, read_assets, read_file
from core.workbench.gains import Gains, add_gain
from core.workbench.index import ExperimentIndex, Found
from core.workbench.launching.addresses import add_launching
from core.workbench.launching.launcher import Launcher
from core.workbench.reviewing import add_review
from core.workbench.reviews import Reviews
from core.workbench.strip_sources import StripSources
from core.workbench.strips import add_strips
from core.workbench.summary import COLUMN_TITLES

# A report has its style and pictures in itself. Its script does not run: whoever wrote the folder
# could otherwise ask the server as the user.
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
# Another content has another address.
_FOR_GOOD = "private, max-age=31536000, immutable"
_MOST_REMEMBERED = 32
_KEY = Annotated[str, Query(max_length=200)]
_KEYS = Annotated[list[_KEY], Query(min_length=1, max_length=MOST_COMPARED)]


def build_app(
    index: ExperimentIndex,
    ask: Callable[..., Any],
    strips: StripSources | None = None,
    reviews: Reviews | None = None,
    launcher: Launcher | None = None,
) -> FastAPI:
    """The application without its guard. `ask` calls what takes long in another process."""
    app = FastAPI(openapi_url=None)
    _add_pages(app)
    _add_experiments(app, index)
    _add_curves(app, index)
    _add_comparison(app, index, ask)
    add_strips(app, strips or StripSources(index, ask))
    reviews = reviews or Reviews(index, ask)
    add_review(app, reviews, launcher)
    add_gain(app, Gains(index, ask, reviews))
    if launcher is not None:
        add_launching(app, index, launcher)
    return app


def _add_pages(app: FastAPI) -> None:
    version, assets = read_assets()

    # In the loop itself: there is nothing to wait for, and a page asks for thirty of them.
    async def page(request: Request, name: str = FIRST_PAGE) -> Response:
        folder, _, below = name.partition("/")
        is_kept = folder == version
        asset = assets.get(below if is_kept else name)
        if asset is None:
            raise HTTPException(404)
        headers = {"ETag": asset.tag, "Vary": "Accept-Encoding"}
        if is_kept:
            headers["Cache-Control"] = _FOR_GOOD
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        content = asset.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = asset.zipped, "gzip"
        return Response(content, media_type=asset.media_type, headers=headers)

    app.get("/")(partial(page, name=FIRST_PAGE))
    app.get("/pages/{name:path}")(page)


def _add_experiments(app: FastAPI, index: ExperimentIndex) -> None:
    @lru_cache(_MOST_REMEMBERED)
    def listed(version: int, chosen: tuple[str, ...]) -> Encoded:
        rows, pending = index.rows()
        rows = [
            {**row, "values": {c: row["values"][c] for c in chosen if c in row["values"]}}
            for row in rows
        ]
        titles = [[name, COLUMN_TITLES.get(name, name)] for name in chosen]
        folder = for_terminal(str(index.results_dir))
        return encoded(
            {"experiments": rows, "pending": pending, "titles": titles, "folder": folder}
        )

    @app.get("/api/experiments")
    def experiments(
        request: Request,
        column: Annotated[list[_KEY], Query(max_length=100)] = [],  # noqa: B006
    ) -> Response:
        index.keep_watching()
        return sent(request, listed(index.version, tuple(column)))

    @app.get("/api/columns")
    def columns(request: Request) -> Response:
        names = dict.fromkeys(name for row in index.rows()[0] for name in row["values"])
        return answer(request, {"columns": [[n, COLUMN_TITLES.get(n, n)] for n in names]})

    @app.get("/api/experiments/{key}")
    def experiment(request: Request, key: str) -> Response:
        found = find(index, key)
        row = next((row for row in index.rows()[0] if row["key"] == key), None)
        if row is None:
            raise HTTPException(404, "Not read yet")
        head = {name: row[name] for name in ("key", "name", "status", "message")}
        head["files"] = files_of(found.path)
        try:
            return answer(request, head | index.in_full(found))
        except InputError as error:
            return answer(request, head | {"problem": str(error)})

    @app.get("/api/experiments/{key}/{name}")
    def file(key: str, name: str) -> Response:
        media_type = OF_EXPERIMENT.get(name)
        if media_type is None:
            raise HTTPException(404)
        try:
            content = read_file(find(index, key).path, name)
        except InputError as error:
            raise HTTPException(404, str(error)) from None
        headers = {"Content-Security-Policy": _REPORT_POLICY}
        return Response(content, media_type=media_type, headers=headers)


def _add_curves(app: FastAPI, index: ExperimentIndex) -> None:
    @app.get("/api/curves")
    def curves(request: Request, key: _KEYS) -> Response:
        runs = []
        for found in find_some(index, key).values():
            # One that cannot be read has no curves, and its own page says why.
            with suppress(InputError):
                history = index.in_full(found)["history"]
                runs.append({"name": for_terminal(found.name), "history": history})
        return answer(request, {"runs": runs})


def _add_comparison(app: FastAPI, index: ExperimentIndex, ask: Callable[..., Any]) -> None:
    @lru_cache(_MOST_REMEMBERED)
    def compared(sort: str, *found: Found) -> dict[str, Any]:
        return ask(compare, [each.path for each in found], sort)

    @app.get("/api/comparison")
    def comparison(request: Request, key: _KEYS, sort: _KEY = "macro_f1") -> Response:
        found = find_some(index, key)
        names = [for_terminal(each.name) for each in found.values()]
        about = {"keys": list(found), "names": names, "gone": len(set(key)) - len(found)}
        try:
            content = compared(sort, *found.values())
        except InputError as error:
            content = {"problem": str(error)}
        return answer(request, {**about, **content})
