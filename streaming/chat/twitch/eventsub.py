"""What happens on a channel, by Twitch's EventSub over a WebSocket. In: its settings; out: happenings and messages.

Remembers its connection, and which messages came last: each may come twice. Event loop only; calls of the API are made
by a thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from streaming.chat.room import RoomClosed, connected_again, says
from streaming.chat.said import MAX_TEXT, Happening, Heard, Message
from streaming.chat.settings import Twitch
from streaming.chat.twitch.irc import role_of
from streaming.doors import DoorState
from streaming.journal import about
from streaming.metrics import Metrics

log = logging.getLogger(__name__)

_MAX_SOCKET_BYTES = 1 << 18
_WELCOME_S = 10.0
_GRACE_S = 5.0
"""So much later than promised a sign of life may come."""
_DRAIN_S = 0.2
_MAX_SEEN = 1000
_API_S = 10.0
_MAX_ANSWER_BYTES = 1 << 20
_NOT_AS_DESCRIBED = (ValueError, LookupError, TypeError, AttributeError)
"""What reading a message raises that is of another form than its description."""
_FAILURES = (OSError, TimeoutError, HTTPException, WebSocketException, *_NOT_AS_DESCRIBED)
_CHAT = "channel.chat.message"
_SUBSCRIPTIONS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "points": ("channel.channel_points_custom_reward_redemption.add", "1", ("broadcaster_user_id",)),
    "cheer": ("channel.cheer", "1", ("broadcaster_user_id",)),
    "raid": ("channel.raid", "1", ("to_broadcaster_user_id",)),
    "subscribe": ("channel.subscribe", "1", ("broadcaster_user_id",)),
    "follow": ("channel.follow", "2", ("broadcaster_user_id", "moderator_user_id")),
    "chat": (_CHAT, "1", ("broadcaster_user_id", "user_id")),
}
"""Type, version, and what the condition names."""


class EventSub:
    """Implements `streaming.chat.room.Room`."""

    name = "twitch events"

    def __init__(self, config: Twitch, metrics: Metrics) -> None:
        self._config = config
        self.state = DoorState(self.name, metrics)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._api: _Api | None = None
        self._ids: dict[str, str] = {}
        """What conditions name: the channel's id, and that of whoever the token belongs to."""
        self._says = says()

    def __aiter__(self) -> AsyncGenerator[Heard]:
        return connected_again(self._session, self.state, _FAILURES)

    async def _session(self) -> AsyncGenerator[Heard | None]:
        """One session, over as many connections as the server wants: None once it is subscribed, then what happens."""
        config = self._config
        token = await asyncio.to_thread(lambda: config.secret)
        self._api = _Api(config.api_url, config.client_id, token.removeprefix("oauth:"))
        self._ids = await self._look_up(self._api)
        socket, session = await _open(config.eventsub_url)
        try:
            await self._subscribe(self._api, str(session["id"]))
            yield None
            while True:
                async with asyncio.timeout(float(session.get("keepalive_timeout_seconds") or 10) + _GRACE_S):
                    told = json.loads(await socket.recv())
                if told["metadata"]["message_type"] == "session_reconnect":
                    before = socket
                    socket, session = await _open(str(told["payload"]["session"]["reconnect_url"]))
                    for late in await _drained(before):
                        if (happening := self._read(late)) is not None:
                            yield happening
                elif (happening := self._read(told)) is not None:
                    yield happening
        finally:
            await socket.close()

    async def _look_up(self, api: _Api) -> dict[str, str]:
        """What conditions name. Raises `RoomClosed`."""
        own = await api.call("GET", "/users")
        channel = await api.call("GET", f"/users?login={urllib.parse.quote(self._config.channel)}")
        if not channel["data"]:
            raise RoomClosed(f"there is no channel {self._config.channel}")
        own_id, channel_id = str(own["data"][0]["id"]), str(channel["data"][0]["id"])
        return {
            **dict.fromkeys(("broadcaster_user_id", "to_broadcaster_user_id"), channel_id),
            **dict.fromkeys(("moderator_user_id", "user_id"), own_id),
        }

    async def _subscribe(self, api: _Api, session: str) -> None:
        """Ask for what the settings name, before the server loses patience: ten seconds after its welcome.

        Raises `RoomClosed` where nothing of it is to be had.
        """
        kinds = dict.fromkeys(name.partition(":")[0] for name in self._config.events)
        wanted = [*kinds, *(["chat"] if self._config.chat == "eventsub" else [])]
        refusals = []
        for kind in wanted:
            event, version, names = _SUBSCRIPTIONS[kind]
            condition = {name: self._ids[name] for name in names}
            transport = {"method": "websocket", "session_id": session}
            asked = {"type": event, "version": version, "condition": condition, "transport": transport}
            try:
                await api.call("POST", "/eventsub/subscriptions", asked)
            except RoomClosed as error:
                refusals.append(f"{event}: {error}")
                log.warning("an event is not told", extra=about(door=self.name, event=event, detail=str(error)))
        if len(refusals) == len(wanted):
            raise RoomClosed("; ".join(refusals))

    def _read(self, told: Mapping[str, Any]) -> Heard | None:
        """What a message of the server tells that it has not told before."""
        metadata = told["metadata"]
        if metadata["message_type"] == "revocation":
            subscription = told["payload"]["subscription"]
            detail = f"{subscription['type']}: {subscription['status']}"
            log.warning("an event is told no more", extra=about(door=self.name, detail=detail))
        if metadata["message_type"] != "notification" or metadata["message_id"] in self._seen:
            return None
        self._seen[metadata["message_id"]] = None
        if len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        return read_event(str(told["payload"]["subscription"]["type"]), told["payload"]["event"])

    async def say(self, text: str) -> None:
        if self._api is None or self._config.chat != "eventsub" or not self._config.login:
            return
        if self._says.take(asyncio.get_running_loop().time()):
            said = {"broadcaster_id": self._ids["broadcaster_user_id"], "sender_id": self._ids["user_id"]}
            try:
                await self._api.call("POST", "/chat/messages", {**said, "message": text[:MAX_TEXT]})
            except (OSError, HTTPException, ValueError, RoomClosed) as error:
                log.info("a reply was not taken", extra=about(door=self.name, detail=str(error)))


def read_event(kind: str, event: Mapping[str, Any]) -> Heard | None:
    """What one event is to us; None where it is nothing."""
    match kind:
        case "channel.chat.message":
            if event.get("source_broadcaster_user_id") not in (None, event["broadcaster_user_id"]):
                return None
            badges = [str(badge["set_id"]) for badge in event["badges"]]
            text = str(event["message"]["text"])[:MAX_TEXT]
            return Message(str(event["chatter_user_id"]), str(event["chatter_user_name"]), role_of(badges), text)
        case "channel.channel_points_custom_reward_redemption.add":
            title, text = str(event["reward"]["title"]), str(event.get("user_input") or "")
            return Happening("points", *_who(event), title=title, text=text[:MAX_TEXT])
        case "channel.cheer":
            text = str(event.get("message") or "")
            return Happening("cheer", *_who(event), amount=int(event["bits"]), text=text[:MAX_TEXT])
        case "channel.raid":
            who = str(event["from_broadcaster_user_id"]), str(event["from_broadcaster_user_name"])
            return Happening("raid", *who, amount=int(event["viewers"]))
        case "channel.subscribe":
            return Happening("subscribe", *_who(event))
        case "channel.follow":
            return Happening("follow", *_who(event))
        case _:
            return None


def _who(event: Mapping[str, Any]) -> tuple[str, str]:
    """Id and name; of somebody who does not want to be known, none."""
    return str(event.get("user_id") or ""), str(event.get("user_name") or "somebody")


async def _open(url: str) -> tuple[ClientConnection, Mapping[str, Any]]:
    """Connect, and wait to be welcomed; answer what is told of the session.

    Nothing is sent, no ping either: the server closes a connection that says anything.
    """
    socket = await connect(url, max_size=_MAX_SOCKET_BYTES, ping_interval=None)
    try:
        async with asyncio.timeout(_WELCOME_S):
            told = json.loads(await socket.recv())
        if told["metadata"]["message_type"] != "session_welcome":
            raise ValueError(f"the first message is {told['metadata']['message_type']}, and no session_welcome")
        return socket, told["payload"]["session"]
    except BaseException:
        await socket.close()
        raise


async def _drained(socket: ClientConnection) -> list[Mapping[str, Any]]:
    """What a connection that is to be given up has still told."""
    told = []
    try:
        while True:
            async with asyncio.timeout(_DRAIN_S):
                told.append(json.loads(await socket.recv()))
    except (TimeoutError, ConnectionClosed):
        await socket.close()
    return told


@dataclass(frozen=True, slots=True)
class _Api:
    """Twitch's HTTP interface, by one token."""

    url: str
    client_id: str
    token: str

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Raises `RoomClosed` where the token may not, OSError and ValueError where it did not work."""
        return await asyncio.to_thread(self._call, method, path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.token}",
                "Client-Id": self.client_id,
                "Content-Type": "application/json",
                "User-Agent": "Undersong",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_API_S) as answer:
                return json.loads(answer.read(_MAX_ANSWER_BYTES) or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read(500).decode("utf-8", "replace")
            if error.code in (400, 401, 403):
                raise RoomClosed(f"{method} {path} was answered with {error.code}: {detail}") from None
            raise OSError(f"{method} {path} was answered with {error.code}: {detail}") from None
