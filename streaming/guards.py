"""What stands before every route: the name by which the server is called, and what browsers are told to hold to.

In: ASGI scopes; out: the same, or a refusal; headers of answers. Remembers settings only. Event loop only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming.access import Access
from streaming.addresses import is_loopback
from streaming.config import Config
from streaming.errors import HostRefused, Unauthorized
from streaming.problems import problem_of, tell_refusal
from streaming.roles import Grant

_NO_PAGES = ("/v1/", "/whep/", "/ws/")
"""Where programs ask, and no page is."""
_PERMISSIONS = ", ".join(f"{each}=()" for each in ("camera", "microphone", "geolocation", "payment", "usb", "serial"))
_OF_PLAYERS = ("audio/", "video/")
"""Pages elsewhere may play these without reading them, as a player of their own does."""


def page_policy(frame_ancestors: tuple[str, ...] = (), *, takes_styles: bool = False) -> str:
    """The Content Security Policy of pages: nothing from elsewhere, and no script or style within the page itself.

    One that takes styles may be dressed by the program that shows it, as OBS does.
    """
    rules = {
        "default-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(("'self'", *frame_ancestors)),
    }
    if takes_styles:
        rules["style-src"] = "'self' 'unsafe-inline'"
    return "; ".join(f"{name} {value}" for name, value in rules.items())


class KnownHosts:
    """Refuses who calls the server by a name that is not its own.

    A page elsewhere may have its own name point at this machine, and would then be of one origin with the server (DNS
    rebinding); an address as it stands cannot be made to.
    """

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        own = socket.gethostname().lower()
        self._hosts = {*config.hosts, own, f"{own}.local", urlsplit(config.public_url).hostname}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not self._is_known(host := Headers(scope=scope).get("host", "")):
            error = HostRefused(host)
            tell_refusal(HTTPConnection(scope), error.status, error.code, error.detail)
            await problem_of(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        if not host:  # only those who speak HTTP/1.0, which browsers do not
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        name = name.rstrip(".")
        if "*" in self._hosts or name in self._hosts or is_loopback(name):
            return True
        return _is_address(name) or any(each[:2] == "*." and name.endswith(each[1:]) for each in self._hosts if each)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


class SafeHeaders:
    """Tells browsers, with every answer, what it is not to be used for."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._page_policy = page_policy(config.frame_ancestors)
        self._hsts = f"max-age={config.hsts_days * 86_400}" if config.hsts_days else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self._amend(MutableHeaders(scope=message), scope)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _amend(self, headers: MutableHeaders, scope: Scope) -> None:
        kind, is_secure = headers.get("content-type", ""), scope["scheme"] in ("https", "wss")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"  # addresses may hold tokens
        if kind.startswith("text/html"):
            headers.setdefault("Content-Security-Policy", self._page_policy)
            headers["Permissions-Policy"] = _PERMISSIONS
            if is_secure:  # elsewhere browsers complain of it
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
        else:
            headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        if not kind.startswith(_OF_PLAYERS):
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if self._hsts and is_secure:
            headers["Strict-Transport-Security"] = self._hsts


class TokenToCookie:
    """Takes a page's token out of its address into a cookie, so that it is not copied along with the address.

    A page in a frame of another site keeps it there: browsers keep that cookie from it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and b"token=" in scope["query_string"]
            and self._is_page(asker := HTTPConnection(scope))
        ):
            try:
                token = asker.query_params["token"]
                grant = self._access.tokens.read(token)
            except (KeyError, Unauthorized):
                pass  # the route says so
            else:
                await self._redirect(asker, token, grant)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_page(self, asker: HTTPConnection) -> bool:
        path = asker.scope["path"].removeprefix(asker.scope.get("root_path", ""))
        if asker.scope["method"] not in ("GET", "HEAD") or path.startswith(_NO_PAGES) or self._access.is_open_to(asker):
            return False
        is_framed = asker.headers.get("sec-fetch-dest", "document") != "document"
        return "text/html" in asker.headers.get("accept", "") and not is_framed

    def _redirect(self, asker: HTTPConnection, token: str, grant: Grant) -> RedirectResponse:
        assert grant.expires is not None, grant
        path = asker.scope["path"]
        others = urlencode(
            [pair for pair in parse_qsl(asker.scope["query_string"].decode("latin1"), True) if pair[0] != "token"]
        )
        # The host and what lies before it are left to the browser: two slashes would lead elsewhere.
        response = RedirectResponse(
            f"/{path.lstrip('/')}{f'?{others}' if others else ''}", 303, {"Cache-Control": "no-store"}
        )
        response.set_cookie(
            "_".join((self._access.tokens.cookie, str(grant.role), *([grant.station] if grant.station else []))),
            token,
            max_age=max(0, grant.expires - int(time.time())),
            path=f"{asker.scope.get('root_path', '')}/",
            secure=asker.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
        return response


class EndsWithToken:
    """Ends a stream or socket when the token that has opened it expires or is taken back."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        task, let_go, is_over = asyncio.current_task(), None, False
        assert task is not None
        state = scope.setdefault("state", {})

        def end() -> None:
            nonlocal is_over
            is_over = True
            task.cancel()

        async def send_and_hold(message: Message) -> None:
            nonlocal let_go
            lasts = message["type"] == "websocket.accept" or message.get("more_body", False)
            if let_go is None and lasts and (grant := state.get("grant")) is not None:
                let_go = self._access.hold(grant, end)
            await send(message)

        try:
            await self._app(scope, receive, send_and_hold)
        except asyncio.CancelledError:
            if not is_over:
                raise
            task.uncancel()
            await send(_END[scope["type"]])
        finally:
            if let_go is not None:
                let_go()


_END: dict[str, Message] = {
    "websocket": {"type": "websocket.close", "code": 1008, "reason": "the token has expired or was taken back"},
    "http": {"type": "http.response.body", "body": b"", "more_body": False},
}
