"""The protocol of obs-websocket 5: JSON over WebSocket, RPC version 1. In: an address and a password; out: what happens
in OBS, and answers to requests. Remembers what came while an answer was waited for. Event loop only.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import IntFlag
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

RPC_VERSION = 1
_JSON = Subprotocol("obswebsocket.json")
_PATIENCE_S = 10.0
"""How long OBS may take to answer."""
_HELLO, _IDENTIFY, _IDENTIFIED, _EVENT, _REQUEST, _RESPONSE = 0, 1, 2, 5, 6, 7
_WRONG_PASSWORD = "OBS refuses the password; it shows its own under Tools, WebSocket Server Settings, Show Connect Info"
_REFUSALS = {
    4009: _WRONG_PASSWORD,
    4010: f"this OBS speaks another version of its protocol than {RPC_VERSION}; OBS has that from 28 on",
    4012: "this OBS lacks what was asked for",
}
_KICKED = 4011


class Subscription(IntFlag):
    """Events that are sent to whoever asks for them; those of high volume to nobody else."""

    SCENES = 1 << 2
    INPUTS = 1 << 3
    OUTPUTS = 1 << 6
    VOLUME_METERS = 1 << 16


class Event(NamedTuple):
    """Something has happened in OBS."""

    kind: str
    fields: Mapping[str, Any]


class ObsUnavailable(Exception):
    """OBS is not there, or not any more."""


class ObsRefuses(ObsUnavailable):
    """OBS is there, and somebody has to change a setting."""


class ObsEnded(ObsRefuses):
    """Somebody has ended the connection in OBS, and does not want it back."""


class ObsConnection:
    """An identified connection; of `open_obs`. Its methods raise `ObsUnavailable`, one call at a time."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._early: deque[Event] = deque()
        self._ids = map(str, itertools.count(1))

    async def identify(self, password: str, subscriptions: Subscription) -> None:
        async with self._patience("a greeting; obs-websocket 5 greets, which OBS has from 28 on"):
            kind, hello = await self._receive()
            if kind != _HELLO:
                raise ObsUnavailable(f"OBS begins with a message of the kind {kind}; expected a greeting")
            identity: dict[str, Any] = {"rpcVersion": RPC_VERSION, "eventSubscriptions": int(subscriptions)}
            if (asked := hello.get("authentication")) is not None:
                if not password:
                    raise ObsRefuses("OBS asks for a password; set obs.password_file, or obs.password")
                identity["authentication"] = _proof(password, asked)
            await self._send(_IDENTIFY, identity)
            kind, _ = await self._receive()
            if kind != _IDENTIFIED:
                raise ObsUnavailable(f"OBS answers with a message of the kind {kind}; expected that it knows us")

    async def request(self, kind: str, **fields: Any) -> Mapping[str, Any]:
        """Ask OBS for something, and answer what it says."""
        request_id = next(self._ids)
        await self._send(_REQUEST, {"requestType": kind, "requestId": request_id, "requestData": fields})
        async with self._patience(f"an answer to {kind}"):
            while True:
                code, told = await self._receive()
                if code == _EVENT:
                    self._early.append(_event(told))
                elif code == _RESPONSE and told.get("requestId") == request_id:
                    return _answer(kind, told)

    async def events(self) -> AsyncIterator[Event]:
        """What happens in OBS, until it is gone."""
        while True:
            if self._early:
                yield self._early.popleft()
                continue
            code, told = await self._receive()
            if code == _EVENT:
                yield _event(told)

    @asynccontextmanager
    async def _patience(self, for_what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                yield
        except TimeoutError:
            raise ObsUnavailable(f"OBS is silent: {_PATIENCE_S:g} s were waited for {for_what}") from None

    async def _send(self, code: int, fields: Mapping[str, Any]) -> None:
        try:
            await self._socket.send(json.dumps({"op": code, "d": fields}))
        except ConnectionClosed as closed:
            raise _why(closed) from None

    async def _receive(self) -> tuple[int, dict[str, Any]]:
        try:
            message = json.loads(await self._socket.recv())
        except ConnectionClosed as closed:
            raise _why(closed) from None
        except ValueError:
            raise ObsUnavailable("OBS sends what is not JSON") from None
        match message:
            case {"op": int(code), "d": dict(fields)}:
                return code, fields
        raise ObsUnavailable("OBS sends what is no message of obs-websocket 5")


@asynccontextmanager
async def open_obs(url: str, password: str, subscriptions: Subscription) -> AsyncIterator[ObsConnection]:
    """Connect to OBS at `url`, such as ws://127.0.0.1:4455. Raises `ObsUnavailable`."""
    try:
        socket = await connect(url, subprotocols=[_JSON], open_timeout=_PATIENCE_S, close_timeout=1, compression=None)
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise ObsUnavailable(f"OBS cannot be reached at {url}: {error or 'it is silent'}") from None
    async with socket:
        obs = ObsConnection(socket)
        await obs.identify(password, subscriptions)
        yield obs


def _proof(password: str, asked: Any) -> str:
    """That the password is known, without telling it."""
    match asked:
        case {"salt": str(salt), "challenge": str(challenge)}:
            secret = base64.b64encode(hashlib.sha256((password + salt).encode()).digest()).decode()
            return base64.b64encode(hashlib.sha256((secret + challenge).encode()).digest()).decode()
    raise ObsUnavailable("OBS asks for a password in a way that obs-websocket 5 does not know")


def _event(told: Mapping[str, Any]) -> Event:
    fields = told.get("eventData")
    return Event(str(told.get("eventType")), fields if isinstance(fields, dict) else {})


def _answer(kind: str, told: Mapping[str, Any]) -> Mapping[str, Any]:
    match told:
        case {"requestStatus": {"result": True}}:
            answer = told.get("responseData")
            return answer if isinstance(answer, dict) else {}
        case {"requestStatus": {"code": code, **others}}:
            raise ObsUnavailable(f"OBS refuses {kind} with {code}: {others.get('comment', 'it says no more')}")
    raise ObsUnavailable(f"OBS answers {kind} as obs-websocket 5 does not")


def _why(closed: ConnectionClosed) -> ObsUnavailable:
    code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
    if code == _KICKED:
        return ObsEnded("somebody has ended the connection in OBS; it is made again when this server starts again")
    if code in _REFUSALS:
        return ObsRefuses(_REFUSALS[code])
    return ObsUnavailable(f"OBS has closed the connection with {code}{f': {reason}' if reason else ''}")
