"""What the page Strips asks for: lists of strips, their images, and what is drawn over them."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from starlette.responses import PlainTextResponse, Response

from core.errors import InputError
from core.workbench.answers import answer, named, sent
from core.workbench.strip_sources import Strips, StripSources
from core.workbench.summary import shown

# An image that was shown is shown again without asking; later the server is asked by the ETag.
_KEPT = "private, max-age=300"
_METHOD = Annotated[str, Query(max_length=40)]
_WHAT = Literal["heat", "mask"]


def add_strips(app: FastAPI, sources: StripSources) -> None:
    """Add the addresses below `api/strips`."""

    @app.get("/api/strips")
    def places(request: Request) -> Response:
        return answer(request, {"places": sources.places()})

    @app.get("/api/strips/{source}")
    def strips(request: Request, source: str) -> Response:
        try:
            return sent(request, _known(sources.of, source).encoded)
        except InputError as error:
            return answer(request, {"problem": str(error)})

    @app.get("/api/strips/{source}/{strip}/image")
    def image(request: Request, source: str, strip: str) -> Response:
        try:
            read, tag = _known(sources.picture, _of(sources, source), strip)
            headers = {"ETag": tag, "Cache-Control": _KEPT}
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            picture = read()
        except InputError as error:
            # No error for the browser, which would fill its console with them: the page shows it.
            return PlainTextResponse(str(error), headers={"Cache-Control": "no-store"})
        return Response(picture.content, media_type=picture.media_type, headers=headers)

    @app.get("/api/strips/{source}/{strip}/similar")
    def similar(request: Request, source: str, strip: str) -> Response:
        try:
            found = _known(sources.similar, _of(sources, source), strip)
        except InputError as error:
            return answer(request, {"problem": str(error)})
        return answer(request, {"similar": found})

    _add_masks(app, sources)
    _add_maps(app, sources)


def _add_masks(app: FastAPI, sources: StripSources) -> None:
    @app.get("/api/strips/{source}/{strip}/masks")
    def masks(request: Request, source: str, strip: str) -> Response:
        try:
            pictures = _known(sources.masks, _of(sources, source), strip)
        except InputError as error:
            return answer(request, {"problem": str(error)})
        if pictures is None:
            return answer(request, {"masks": None})
        middles = [picture.middle for picture in pictures.values()]
        return answer(request, {"masks": list(pictures), "middles": middles})

    @app.get("/api/strips/{source}/{strip}/masks/{number}")
    def mask(request: Request, source: str, strip: str, number: int) -> Response:
        def find() -> bytes | None:
            pictures = _known(sources.masks, _of(sources, source), strip)
            picture = (pictures or {}).get(number)
            return picture.content if picture else None

        return _png(request, find)


def _add_maps(app: FastAPI, sources: StripSources) -> None:
    @app.get("/api/strips/{source}/{strip}/maps")
    def maps(request: Request, source: str, strip: str, method: _METHOD = "") -> Response:
        try:
            found = _known(sources.maps, _of(sources, source), strip, method)
        except InputError as error:
            return answer(request, {"problem": str(error)})
        names = [
            {
                "name": shown(one.name), "class": one.class_index, "scale": one.scale,
                "has_mask": one.mask is not None,
            }
            for one in found.maps
        ]  # fmt: skip
        return answer(request, {"method": found.method, "methods": found.methods, "maps": names})

    @app.get("/api/strips/{source}/{strip}/maps/{method}/{number}/{what}")
    def one_map(
        request: Request, source: str, strip: str, method: str, number: int, what: _WHAT
    ) -> Response:
        def find() -> bytes | None:
            found = _known(sources.maps, _of(sources, source), strip, method).maps
            return getattr(found[number], what) if 0 <= number < len(found) else None

        return _png(request, find)


def _png(request: Request, find: Callable[[], bytes | None]) -> Response:
    """The picture that `find` makes; the browser asks again, as a mask or a model may change."""
    try:
        content = find()
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    if content is None:
        raise HTTPException(404, "No such picture")
    return sent(request, named(content), "image/png")


def _of(sources: StripSources, source: str) -> Strips:
    return _known(sources.of, source)


def _known(look: Callable[..., Any], *arguments: Any) -> Any:
    """What `look` finds by keys of the server; 404 for any other key."""
    try:
        return look(*arguments)
    except KeyError:
        raise HTTPException(404, "Neither an experiment here nor a strip of one") from None
