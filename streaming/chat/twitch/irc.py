"""A channel's chat by Twitch's IRC. In: its settings; out: messages. Remembers its connection. Event loop only.

Reading needs no account: whoever calls themselves justinfan and a number may.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from streaming.chat.irc_lines import Line, format_line, parse_line
from streaming.chat.room import RoomClosed, connected_again, says
from streaming.chat.said import MAX_TEXT, Heard, Message, Role
from streaming.chat.settings import Twitch
from streaming.doors import DoorState
from streaming.metrics import Metrics

_MAX_SOCKET_BYTES = 1 << 18
_SILENCE_S = 420.0
"""The server asks every five minutes whether anybody is there."""
_FAILURES = (OSError, TimeoutError, EOFError, ValueError, WebSocketException)
_ROLES = {
    "broadcaster": Role.broadcaster,
    "moderator": Role.moderator,
    "lead_moderator": Role.moderator,
    "vip": Role.vip,
    "subscriber": Role.subscriber,
    "founder": Role.subscriber,
}


def role_of(badges: list[str]) -> Role:
    """The highest role that somebody's badges tell of."""
    return max((_ROLES.get(badge, Role.viewer) for badge in badges), default=Role.viewer)


class TwitchChat:
    """Implements `streaming.chat.room.Room`."""

    name = "twitch chat"

    def __init__(self, config: Twitch, metrics: Metrics) -> None:
        self._config = config
        self.state = DoorState(self.name, metrics)
        self._channel = f"#{config.channel.casefold()}"
        self._socket: ClientConnection | None = None
        self._says = says()

    def __aiter__(self) -> AsyncGenerator[Heard]:
        return connected_again(self._connection, self.state, _FAILURES)

    async def _connection(self) -> AsyncGenerator[Heard | None]:
        """One connection: None once it is in the channel, then messages.

        Raises OSError, EOFError, `WebSocketException` and `RoomClosed`, one of which ends it.
        """
        config = self._config
        token = await asyncio.to_thread(lambda: config.secret) if config.login else ""
        async with connect(config.irc_url, max_size=_MAX_SOCKET_BYTES) as socket:
            await socket.send(format_line("CAP", "REQ", "twitch.tv/tags twitch.tv/commands"))
            if config.login:
                await socket.send(format_line("PASS", f"oauth:{token.removeprefix('oauth:')}"))
            await socket.send(
                format_line("NICK", config.login.casefold() or f"justinfan{random.randrange(10_000, 99_999)}")
            )
            await socket.send(format_line("JOIN", self._channel))
            try:
                async for message in self._lines(socket):
                    yield message
            finally:
                self._socket = None

    async def _lines(self, socket: ClientConnection) -> AsyncGenerator[Heard | None]:
        while True:
            async with asyncio.timeout(_SILENCE_S):
                received = await socket.recv(decode=False)
            for raw in received.decode("utf-8", "replace").split("\r\n"):
                line = parse_line(raw)
                match line:
                    case Line("PING"):
                        await socket.send(format_line("PONG", line.text))
                    case Line("366"):  # all who are there have been told
                        self._socket = socket
                        yield None
                    case Line("RECONNECT"):
                        raise EOFError("the server is about to restart")
                    case Line("NOTICE", ("*", text)):  # to nobody yet: this is about who we say we are
                        raise RoomClosed(text)
                    case Line("PRIVMSG", (self._channel, text)) if message := self._message(line, text):
                        yield message

    def _message(self, line: Line, text: str) -> Message | None:
        """None for our own, and for what was written in another channel that this one shares its chat with."""
        tags = line.tags
        is_ours = line.nick == self._config.login.casefold()
        if is_ours or tags.get("source-room-id", tags.get("room-id")) != tags.get("room-id"):
            return None
        badges = [badge.split("/")[0] for badge in tags.get("badges", "").split(",")]
        member = tags.get("user-id") or line.nick
        return Message(member, tags.get("display-name") or line.nick, role_of(badges), text[:MAX_TEXT])

    async def say(self, text: str) -> None:
        socket = self._socket
        if socket is None or not self._config.login or not self._says.take(asyncio.get_running_loop().time()):
            return
        with suppress(ConnectionClosed):  # whoever reads finds that out, too
            await socket.send(format_line("PRIVMSG", self._channel, text))
