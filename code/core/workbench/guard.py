"""Who may ask the server for what: checked before anything else looks at a request."""

import secrets
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BODY_BYTES = 64 << 10
_USUAL_PORTS = (":80", ":443")
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """Refuses what does not come from a page of this server, opened with its token.

    `hosts` are the values of the header Host under which the server may be asked: a page of
    another site, whose name was pointed at this machine, has another. A browser sends them in small
    letters, and without the usual port of its scheme.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str], cookie: str) -> None:
        self.app = app
        self._token = token
        sent = [host.lower() for host in hosts]
        sent += [host.removesuffix(port) for host in sent for port in _USUAL_PORTS]
        self._hosts = frozenset(sent)
        self._origins = {f"{scheme}://{host}" for host in sent for scheme in ("http", "https")}
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._login(scope) or self._without_token(scope)
        await (answer or self.app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return _refuse(421, "This address is not served: start with --allowed-host NAME:PORT")
        safe = scope["method"] in _SAFE_METHODS
        origins = headers.getlist("origin")
        if not set(origins) <= self._origins or (not safe and len(origins) != 1):
            return _refuse(403, "Refused: the request comes from another site")
        opened = headers.get("sec-fetch-mode") == "navigate" and safe
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opened:
            return _refuse(403, "Refused: the request comes from another site")
        return None if safe else _refused_body(headers)

    def _login(self, scope: Scope) -> Response | None:
        """Take the token from the address once, and keep it in a cookie."""
        given = HTTPConnection(scope).query_params.get("token")
        if scope["path"] != "/login" or given is None or not self._is_token(given):
            return None
        # Relative, so that it also leads back behind a proxy that adds a path.
        response = RedirectResponse("./", status_code=303)
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
        return response

    def _without_token(self, scope: Scope) -> Response | None:
        if self._is_token(HTTPConnection(scope).cookies.get(self._cookie, "")):
            return None
        return _refuse(401, "Open the address that code/workbench.py printed: it has the token")

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())


def _refused_body(headers: Headers) -> Response | None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refuse(415, "Expected application/json")
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return _refuse(411, "Expected a Content-Length")
    if int(length) > _MOST_BODY_BYTES:
        return _refuse(413, f"Expected at most {_MOST_BODY_BYTES} bytes")
    return None


def _refuse(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)
