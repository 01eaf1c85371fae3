"""The server process: its connections, how it greets and how it ends.

In: a `Config`; out: a server until Ctrl-C (`serve`). Event loop only.
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
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import FrameType
from typing import NoReturn

import h11
import ifaddr
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from streaming.access import Access, Role
from streaming.app import create_app
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.errors import BadConfig, EngineFailed, PortUnavailable, StreamingError, TooManyConnections
from streaming.journal import about, open_journal
from streaming.obs.door import ObsDoor
from streaming.pacing import prefer_to_others
from streaming.problems import problem_of
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
        self._loop = asyncio.get_running_loop()  # a signal may come before all is started

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
