"""What every HTTP exchange has in common, before any route. In: ASGI scopes; out: the same, amended.

Remembers settings only. Event loop only.
"""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming.journal import begin_request

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")


class UnderPrefix:
    """Puts the path under which clients see this server, and which a proxy has stripped, before each path again.

    It is that of `public_url`, else what the proxy says in X-Forwarded-Prefix; routes find it as `root_path`.
    """

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._prefix = urlsplit(public_url).path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = "" if scope["type"] == "lifespan" else self._prefix or _forwarded_prefix(scope)
        if prefix:
            raw_path = prefix.encode() + scope["raw_path"]
            scope = {**scope, "root_path": prefix, "path": prefix + scope["path"], "raw_path": raw_path}
        await self._app(scope, receive, send)


def _forwarded_prefix(scope: Scope) -> str:
    """What X-Forwarded-Prefix says; nothing where it is no plain path, as it comes back in links."""
    prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
    return prefix if _PREFIX.fullmatch(prefix) else ""


class WithRequestId:
    """Gives each exchange an id, X-Request-Id, which its lines in the log have and its answer; one that comes stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(6)
        begin_request(request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


def is_head(request: Request) -> bool:
    """Whether the body will be left out of the answer."""
    return getattr(request.state, "is_head", False)


class HeadAsGet:
    """Lets every GET route answer HEAD; the server leaves the body out (RFC 9110, section 9.3.2).

    A route whose GET does more than answer asks `is_head`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", "state": {**scope.get("state", {}), "is_head": True}}
        await self._app(scope, receive, send)
