"""What the page Strips asks for: lists of strips, their images, and what is drawn over them."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from starlette.responses import Response

from core.errors import InputError
from core.workbench.answers import answer, sent
from core.workbench.strip_sources import Strips, StripSources

# An image that was shown is shown again without asking; later the server is asked by the ETag.
_KEPT = "private, max-age=300"


def add_strips(app: FastAPI, sources: StripSources) -> None:
    """Add the addresses below `api/strips`."""

    @app.get("/api/strips")
    def places(request: Request) -> Response:
        return answer(request, {"places": sources.places()})

    @app.get("/api/strips/{source}")
    def strips(request: Request, source: str) -> Response:
        return sent(request, _of(sources, source).encoded)

    @app.get("/api/strips/{source}/{strip}/image")
    def image(request: Request, source: str, strip: str) -> Response:
        read, tag = _found(sources.picture, _of(sources, source), strip)
        headers = {"ETag": tag, "Cache-Control": _KEPT}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        picture = _found(read)
        return Response(picture.content, media_type=picture.media_type, headers=headers)


def _of(sources: StripSources, source: str) -> Strips:
    return _found(sources.of, source)


def _found(look: Callable[..., Any], *arguments: Any) -> Any:
    """What `look` finds; else the answer that says in one line why there is nothing."""
    try:
        return look(*arguments)
    except KeyError:
        raise HTTPException(404, "No such strips") from None
    except InputError as error:
        raise HTTPException(404, str(error)) from None
