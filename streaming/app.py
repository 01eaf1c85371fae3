"""Wires everything: the HTTP interface over one conductor, and the server process itself.

In: a `Config`; out: an ASGI application (`create_app`), or a server until Ctrl-C (`serve`). Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import h11
import ifaddr
import uvicorn
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import ALL_METHODS
from starlette.routing import Match, Mount
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from moods.errors import MoodsError, shown
from streaming import access_routes, action_routes, messages, render_routes, routes, whep
from streaming.access import LOOPBACK_ORIGIN, Access, Role, allowed, open_to_all
from streaming.chat import routes as chat_routes
from streaming.chat.chats import Chats
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.errors import (
    BadConfig,
    BadParameter,
    EngineFailed,
    PortUnavailable,
    ServerEnds,
    StreamingError,
    TooManyConnections,
    Unauthorized,
    UnknownStation,
)
from streaming.guards import EndsWithToken, KnownHosts, SafeHeaders, TokenToCookie, page_policy
from streaming.journal import about, open_journal
from streaming.limits import Limits
from streaming.lyria import routes as lyria_routes
from streaming.middleware import HeadAsGet, UnderPrefix, WithRequestId
from streaming.obs.door import ObsDoor
from streaming.openapi import answer, describe
from streaming.pacing import prefer_to_others
from streaming.problems import Refusals, problem, problem_of, tell_refusal
from streaming.programme.door import ProgrammeDoor
from streaming.push.pushes import Pushes
from streaming.roles import DAYS
from streaming.settings import strange_variables
from streaming.supervision import STOPPING, notify, supervised
from streaming.terminal import OutputLost, tell
from streaming.tls import server_context
from streaming.transports.osc import OscDoor

log = logging.getLogger(__name__)

_GOODBYE_S = 2
_EXPOSED_HEADERS = (
    *("Accept-Patch", "Accept-Post", "Accept-Ranges", "Allow", "Content-Range", "ETag", "Link", "Location"),
    *("Retry-After", "Undersong-Began-Frame", "Undersong-Notes", "X-Request-Id"),
)
_HEAD_S = 10.0
"""How long the head of a request may take to come."""
_MAX_UNSENT_BYTES = 4 * 1024
"""What waits in the buffers of a connection is old when a slow reader comes to it, and cannot be dropped there."""
_UNREAD_S = 60
"""A connection over which a client has read nothing for so long is ended, as web servers and proxies do."""
_PING_S = 20
"""How often a WebSocket is asked whether it is still there, and how long it may take to answer."""
_MAX_SOCKET_BYTES = 1 << 20
"""A longer WebSocket message closes the connection with 1009; one above MAX_MESSAGE_BYTES gets an `error` event."""


def create_app(config: Config, conductor: Conductor | None = None) -> FastAPI:
    """The application over `conductor`; without one it starts and stops a conductor of its own with its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if conductor is not None:
            yield
            return
        async with Conductor(config) as own, Chats(own) as chats:
            app.state.conductor, app.state.chats = own, chats
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, root_path_in_servers=False)
    app.state.conductor = conductor
    app.state.chats = None if conductor is None else Chats(conductor)
    app.state.limits = Limits(config.controls_per_s)
    app.state.access = access = Access(config)
    app.state.refusals = Refusals()
    describe(app)
    app.include_router(access_routes.router)
    app.include_router(routes.router)
    app.include_router(action_routes.router)
    app.include_router(render_routes.router)
    app.include_router(whep.router)
    app.include_router(lyria_routes.router)
    app.include_router(chat_routes.router)
    web = resources.files("streaming") / "web"
    app.mount("/web", StaticFiles(directory=str(web), check_dir=False))
    client = resources.files("streaming") / "client"
    app.mount("/client", StaticFiles(directory=str(client), check_dir=False))

    listeners, admins = Depends(allowed(Role.LISTEN)), Depends(allowed(Role.ADMIN))

    @app.get("/", include_in_schema=False, dependencies=[listeners])
    async def studio() -> FileResponse:
        return FileResponse(str(web / "index.html"))

    @app.get("/score", include_in_schema=False, dependencies=[listeners])
    async def score() -> FileResponse:
        return FileResponse(str(web / "score.html"))

    @app.get("/overlay/{station}", include_in_schema=False, dependencies=[listeners])
    async def overlay(station: str) -> FileResponse:
        policy = page_policy(config.frame_ancestors, takes_styles=True)
        return FileResponse(str(web / "overlay.html"), headers={"Content-Security-Policy": policy})

    @app.get("/dock/{station}", include_in_schema=False, dependencies=[Depends(allowed(Role.CONTROL))])
    async def dock(station: str) -> FileResponse:
        return FileResponse(str(web / "dock.html"))

    @app.get(
        "/healthz",
        dependencies=[Depends(open_to_all)],
        tags=["server"],
        operation_id="isAlive",
        response_model=messages.Alive,
    )
    async def healthz() -> JSONResponse:
        """Is the server alive?"""
        return JSONResponse({"alive": True})

    @app.get(
        "/readyz",
        dependencies=[Depends(open_to_all)],
        tags=["server"],
        operation_id="isReady",
        response_model=messages.Readiness,
        responses={
            503: {"model": messages.Readiness, "description": "It does not: the engine starts, or starts again."}
        },
    )
    async def readyz(request: Request) -> JSONResponse:
        """Does the engine take work?"""
        is_ready = request.app.state.conductor.is_ready
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    metrics_text = answer("Prometheus' text format.", "text/plain", {"type": "string"})

    @app.get(
        "/metrics",
        dependencies=[admins],
        tags=["server"],
        operation_id="getMetrics",
        response_class=Response,
        responses={200: metrics_text},
    )
    async def metrics(request: Request) -> PlainTextResponse:
        """Tell the server's figures."""
        return PlainTextResponse(request.app.state.conductor.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get(
        "/v1/doors",
        dependencies=[admins],
        tags=["server"],
        operation_id="listDoors",
        response_model=messages.Connections,
    )
    async def doors(request: Request) -> JSONResponse:
        """Tell how the server's connections to others fare.

        Chats, OBS, and streams that are sent elsewhere: each comes back by itself, but for what somebody has to mend.
        """
        return JSONResponse({"doors": [door.state.message() for door in request.app.state.conductor.doors]})

    answers: dict[type[Exception], Any] = {
        StreamingError: _streaming_problem,
        MoodsError: _moods_problem,
        HTTPException: _http_problem,
        RequestValidationError: _parameter_problem,
        Exception: _crash_problem,
    }
    for kind, answer_to in answers.items():
        app.add_exception_handler(kind, answer_to)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=config.origins,
        allow_origin_regex=LOOPBACK_ORIGIN.pattern,
        allow_methods=["*"],
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=_EXPOSED_HEADERS,
    )
    app.add_middleware(EndsWithToken, access=access)
    app.add_middleware(HeadAsGet)
    app.add_middleware(TokenToCookie, access=access)
    app.add_middleware(UnderPrefix, public_url=config.public_url)
    app.add_middleware(KnownHosts, config=config)
    app.add_middleware(SafeHeaders, config=config)
    app.add_middleware(WithRequestId)
    app.openapi()  # else the first request would wait for FastAPI to read all routes, and everybody's sound with it
    return app


# --- errors, RFC 9457 ------------------------------------------------------------------------------------------------


async def _streaming_problem(asker: Request | WebSocket, error: StreamingError) -> Response:
    if isinstance(error, UnknownStation):
        try:
            asker.app.state.conductor.check_stays()
        except ServerEnds as ending:  # what is gone with the server may come back with it
            error = ending
    tell_refusal(asker, error.status, error.code, error.detail)
    if isinstance(error, Unauthorized) and "text/html" in asker.headers.get("accept", ""):
        return _ask_for_token(asker, error)
    return problem_of(error)


def _ask_for_token(asker: Request | WebSocket, error: Unauthorized) -> Response:
    """A page instead of a problem, for who reads it in a browser."""
    headers = {**error.headers, "Cache-Control": "no-store"}
    if asker.headers.get("sec-fetch-site") == "cross-site":
        headers["Refresh"] = "0"  # who has followed a link is not sent our cookie along; of our own accord it is
    return FileResponse(str(resources.files("streaming") / "web" / "token.html"), error.status, headers)


async def _moods_problem(asker: Request | WebSocket, error: MoodsError) -> Response:
    tell_refusal(asker, 422, error.code, str(error))
    return problem(422, error.code, "A value cannot be used", str(error), error.members)


async def _parameter_problem(asker: Request | WebSocket, error: RequestValidationError) -> Response:
    row = error.errors()[0]
    name, text = str(row["loc"][-1]), row["msg"].replace("'", '"')  # pydantic quotes as Python does
    if row["type"] == "missing":
        return await _streaming_problem(asker, BadParameter(f"{name} is missing", field=name))
    detail = f"{name} is {shown(row['input'])}; {text[:1].lower()}{text[1:]}"
    return await _streaming_problem(asker, BadParameter(detail, field=name, value=row["input"]))


async def _crash_problem(request: Request, error: Exception) -> Response:
    """The traceback goes to the log, as ever."""
    return problem(500, "internal_error", "The server failed", "this is a fault of the server's own")


async def _http_problem(request: Request, error: HTTPException) -> Response:
    detail = f"{request.method} {request.url.path}: {error.detail}"
    tell_refusal(request, error.status_code, "http_error", str(error.detail))
    response = problem(error.status_code, "http_error", str(error.detail), detail)
    response.headers.update(error.headers or {})
    if error.status_code == 405:  # Starlette names those of one route; a path has several
        response.headers["Allow"] = ", ".join(_allowed_methods(request))
    return response


def _allowed_methods(request: Request) -> list[str]:
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]

    def is_allowed(method: str) -> bool:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return [method for method in ALL_METHODS if is_allowed(method)] or ["GET", "HEAD"]  # a folder of files


# --- the server ------------------------------------------------------------------------------------------------------


_NO_FAULTS = frozenset(
    {
        "ASGI callable returned without completing handshake.",
        "Invalid HTTP request received.",
        "Invalid UTF-8 sequence received from client.",
    }
)


def _is_a_fault(record: logging.LogRecord) -> bool:
    """uvicorn complains of what clients may do: ask for an unknown station, which a response refuses; send what is no
    text, or no HTTP."""
    return record.msg not in _NO_FAULTS


def _holds_no_key(record: logging.LogRecord) -> bool:
    """Address and headers of a socket, which uvicorn tells, may hold a client's key."""
    return record.levelno > logging.DEBUG and '"WebSocket %s"' not in str(record.msg)


class _ServerConfig(uvicorn.Config):
    """Beside uvicorn's own, what one address may hold."""

    max_per_address = 0
    uncounted: tuple[IPv4Network | IPv6Network, ...] = ()


class _PromptProtocol(H11Protocol):
    """Waits for a slow reader early, and so do the WebSockets that a connection becomes; for who neither asks nor reads
    not long.

    h11, of those that uvicorn knows, holds a request's head to 64 KiB.
    """

    config: _ServerConfig
    _late: asyncio.TimerHandle | None = None
    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        transport.set_write_buffer_limits(_MAX_UNSENT_BYTES)
        super().connection_made(transport)
        if self._is_one_too_many():
            self._refuse(TooManyConnections(self.config.max_per_address))
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()
        self._stay()

    def _await_head(self) -> None:
        """Give up one whose request begins and does not come on; an idle one is uvicorn's to close."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(_HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_one_too_many(self) -> bool:
        if self.client is None:
            return False
        address = self.client[0]
        num_open = sum((getattr(each, "client", None) or ("",))[0] == address for each in self.connections)
        if num_open <= self.config.max_per_address:
            return False
        here = ipaddress.ip_address(address.partition("%")[0])
        return not any(here.version == network.version and here in network for network in self.config.uncounted)

    def _refuse(self, error: StreamingError) -> None:
        answer = problem_of(error)
        fields = [*answer.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (error.status, head, answer.body))
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._giving_up = self.loop.call_later(_UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stay()

    def _stay(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None


class _PromptSocket(WebSocketsSansIOProtocol):
    """Gives up one that does not read, or is not there any more: nothing else would end its connection."""

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(_GOODBYE_S, self._give_up)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._give_up()

    def _give_up(self) -> None:
        if not self.disconnected:
            self.transport.abort()


class Server(uvicorn.Server):
    """Ends the music before it waits for connections: endless responses end by themselves then.

    From the first signal on nothing new is taken; another one cuts the goodbye short.
    """

    def __init__(self, app: ASGIApp, conductor: Conductor, tls: ssl.SSLContext | None = None) -> None:
        config = _ServerConfig(
            app,
            ssl_context_factory=None if tls is None else lambda config, default: tls,
            http=_PromptProtocol,
            lifespan="off",
            log_config=None,  # its words go where ours go
            access_log=False,
            ws=_PromptSocket,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
            ws_max_size=_MAX_SOCKET_BYTES,
            ws_per_message_deflate=False,  # sound does not shrink, and trying would hold up the loop
            timeout_graceful_shutdown=_GOODBYE_S,
            forwarded_allow_ips=list(conductor.config.trusted_proxies),
        )
        config.max_per_address = conductor.config.max_connections_per_address
        config.uncounted = tuple(map(ipaddress.ip_network, conductor.config.trusted_proxies))
        super().__init__(config)
        for is_told in (_is_a_fault, _holds_no_key):
            logging.getLogger("uvicorn.error").addFilter(is_told)
        self._conductor = conductor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        end = self._conductor.hurry if self.should_exit else self._conductor.refuse
        self._loop.call_soon_threadsafe(end)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify(STOPPING)
        await self._conductor.drain()
        await self._conductor.stop()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Raises `PortUnavailable` with the reason."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, proto)  # asyncio switches Nagle's delay off only where it sees TCP here
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted connections have it from here
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT_BYTES)
        try:
            bound.bind(address)
            bound.listen(0)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise PortUnavailable(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from error
    return bound


async def _serve(config: Config, conductor: Conductor, app: FastAPI, tls: ssl.SSLContext | None) -> None:
    with bind(config.host, config.port) as bound:
        server = Server(app, conductor, tls)
        doors = (OscDoor(conductor), ObsDoor(conductor), ProgrammeDoor(conductor), Pushes(conductor), app.state.chats)
        async with conductor, contextlib.AsyncExitStack() as open_doors:
            for door in doors:
                await open_doors.enter_async_context(door)
            host, port = bound.getsockname()[:2]
            with contextlib.suppress(OSError, OutputLost):  # whoever read it may have left
                tell(greeting(host, port, config, is_secure=tls is not None, token=admin_token(app)))
            facts = about(
                version=version("undersong"), host=host, port=port, device=config.device, backend=config.backend
            )
            log.info("server started", extra=facts)
            began_s = time.monotonic()
            try:
                async with supervised():
                    await server.serve(sockets=[bound])
            finally:
                log.info("server ended", extra=about(seconds=round(time.monotonic() - began_s)))


def admin_token(app: FastAPI) -> str | None:
    """A token for whoever starts the server; None where it asks for none at all. Raises `BadConfig`.

    Empty where what is told is kept in a log, and a token can be had otherwise.
    """
    access: Access = app.state.access
    if not access.asks_for_tokens:
        return None
    tokens = access.tokens
    if access.config.secret_path is not None and not sys.stdout.isatty():
        return ""
    return tokens.sign(Role.ADMIN, note="printed at the start")[0]


def greeting(host: str, port: int, config: Config, *, is_secure: bool = False, token: str | None = None) -> str:
    """Where the server is found, and who else can reach it if it listens to more than this machine.

    `token` lets in whoever reads this, and nobody else is.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    here = ("::1" if address.version == 6 else "127.0.0.1") if address.is_unspecified else host
    lines = [f"Undersong plays at {_url(here, port, is_secure)} (Ctrl-C ends it)"]
    elsewhere = [] if address.is_loopback else [_url(each, port, is_secure) for each in _addresses(address)]
    if elsewhere:
        lines.append(f"From a phone or another machine in this network: {', '.join(elsewhere)}")
    if config.public_url:
        lines.append(f"Clients are told to find it at {config.public_url}/")
    if token:
        base = f"{config.public_url}/" if config.public_url else [*elsewhere, _url(here, port, is_secure)][0]
        link = f"{base}?token={token}"
        lines.append(f"Nobody can listen or steer without a token; for {DAYS:g} days this link lets you in: {link}")
    elif token is not None:
        lines.append("Nobody can listen or steer without a token; undersong token makes one, by the same settings")
    elif not config.is_for_this_machine:
        lines.append(
            "Whoever reaches it can listen, open stations and steer them: the setting tokens lets everybody in."
        )
    return "\n".join(lines)


def _url(host: str, port: int, is_secure: bool) -> str:
    return f"{'https' if is_secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def _addresses(bound: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[str]:
    """This machine's addresses that others can type and that reach a socket on `bound`."""
    if not bound.is_unspecified:
        return [str(bound)]
    texts = [str(each.ip if each.is_IPv4 else each.ip[0]) for card in ifaddr.get_adapters() for each in card.ips]
    found = sorted(map(ipaddress.ip_address, texts), key=lambda address: address.version)
    reached = [each for each in found if each.version == 4 or bound.version == 6]
    return [str(each) for each in reached if not each.is_loopback and not each.is_link_local]


def _interrupt(*_: object) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the goodbye is short, and is not to be cut off halfway
    raise KeyboardInterrupt


def serve(config: Config) -> int:
    """Run the server until Ctrl-C or SIGTERM; answer the exit status: 1, and a line on stderr, if it cannot start."""
    open_journal(config.log_level, config.log_json)
    for strange in strange_variables():
        log.warning("a variable is left alone: %s", strange)
    prefer_to_others()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        tls = server_context(Path(config.tls_cert), Path(config.tls_key)) if config.tls_cert else None
        conductor = Conductor(config)
        asyncio.run(_serve(config, conductor, create_app(config, conductor), tls))  # while the engine starts
    except (PortUnavailable, EngineFailed, BadConfig) as error:
        log.error(str(error))
        return 1
    except KeyboardInterrupt:
        pass
    return 0
