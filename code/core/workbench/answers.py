"""Answers of the server: strict JSON with what names it, and the experiment that is asked for."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from fastapi import HTTPException, Request
from starlette.responses import Response

from core.workbench.index import ExperimentIndex, Found

Encoded = tuple[bytes, str]


def find(index: ExperimentIndex, key: str) -> Found:
    """The experiment with this key, or 404."""
    return find_some(index, [key])[key]


def find_some(index: ExperimentIndex, keys: Iterable[str]) -> dict[str, Found]:
    """Those of the experiments that are still there, by their keys, or 404 where none is."""
    index.keep_watching()
    found = {key: each for key in keys if (each := index.find(key)) is not None}
    if not found:
        raise HTTPException(404, "No such experiment")
    return found


def answer(request: Request, content: Any) -> Response:
    """The content, or 304 where the page has the same already."""
    return sent(request, encoded(content))


def encoded(content: Any) -> Encoded:
    """Strict JSON, and what names it."""
    return named(json.dumps(content, allow_nan=False, separators=(",", ":")).encode())


def named(content: bytes) -> Encoded:
    """Bytes, and what names them."""
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def sent(request: Request, known: Encoded, media_type: str = "application/json") -> Response:
    """The content, or 304 where the page has the same already."""
    content, tag = known
    headers = {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
