"""A channel of an IRC server as a room. In: its settings; out: messages. Remembers who has which rank.

Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator
from contextlib import suppress

from streaming.chat.irc_lines import Line, format_line, parse_line
from streaming.chat.room import RoomClosed, connected_again, says
from streaming.chat.said import MAX_TEXT, Heard, Message, Role
from streaming.chat.settings import Irc
from streaming.doors import DoorState
from streaming.metrics import Metrics

log = logging.getLogger(__name__)

_MAX_LINE = 8192 + 512
"""Tags and all, as IRCv3 has it."""
_SILENCE_S = 240.0
"""After so long without a word the server is asked whether it is there; after twice that it is not."""
_CONNECT_S = 20.0
_RANKS = {"~": Role.moderator, "&": Role.moderator, "@": Role.moderator, "%": Role.moderator, "+": Role.vip}
_MODES = {"q": "~", "a": "&", "o": "@", "h": "%", "v": "+"}
_MAX_MEMBERS = 10_000
_REFUSALS = {"464", "465", "471", "473", "474", "475", "403", "405", "476"}
"""Passwords, bans, channels that let nobody in."""


class IrcRoom:
    """Implements `streaming.chat.room.Room`."""

    name = "irc"

    def __init__(self, config: Irc, metrics: Metrics) -> None:
        self._config = config
        self.state = DoorState(self.name, metrics)
        self._ranks: dict[str, str] = {}
        """Signs of rank of those in the channel that have any, by nick."""
        self._writer: asyncio.StreamWriter | None = None
        self._says = says()

    def __aiter__(self) -> AsyncGenerator[Heard]:
        return connected_again(self._connection, self.state, (OSError, TimeoutError, EOFError, ValueError))

    async def _connection(self) -> AsyncGenerator[Heard | None]:
        """One connection: None once it is in the channel, then messages.

        Raises OSError, EOFError, ValueError and `RoomClosed`, one of which ends it.
        """
        config = self._config
        async with asyncio.timeout(_CONNECT_S):
            password = await asyncio.to_thread(lambda: config.secret)
            tls = ssl.create_default_context() if config.tls else None
            reader, writer = await asyncio.open_connection(config.host, config.port, ssl=tls, limit=_MAX_LINE)
        self._ranks.clear()
        try:
            self._send(writer, "CAP", "REQ", "account-tag")
            self._send(writer, "CAP", "END")
            if password:
                self._send(writer, "PASS", password)
            self._send(writer, "NICK", config.nick)
            self._send(writer, "USER", config.nick, "0", "*", "Undersong")
            nick = config.nick
            while True:
                line = await self._read_line(reader, writer)
                match line:
                    case Line("433"):  # the nick is somebody's
                        nick = f"{nick[:28]}_"
                        self._send(writer, "NICK", nick)
                    case Line("001"):
                        self._send(writer, "JOIN", config.channel)
                    case Line("366"):  # all who are there have been told
                        self._writer = writer
                        yield None
                    case Line("ERROR"):
                        raise EOFError(line.text)
                    case Line(number) if number in _REFUSALS:
                        raise RoomClosed(f"{number} {line.text}")
                    case Line("PRIVMSG", (channel, text)) if channel.casefold() == config.channel.casefold():
                        yield Message(_account(line), line.nick, self._role(line.nick), text[:MAX_TEXT])
                    case _:
                        self._note(line)
        finally:
            self._writer = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _read_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Line:
        """The next line that is not about whether anybody is there."""
        has_asked = False
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    raw = await reader.readline()
            except TimeoutError:
                if has_asked:
                    raise
                has_asked = True
                self._send(writer, "PING", "undersong")
                continue
            if not raw:
                raise EOFError("the server has closed the connection")
            line = parse_line(raw.decode("utf-8", "replace").rstrip("\r\n"))
            if line is not None and line.command == "PING":
                self._send(writer, "PONG", line.text)
            elif line is not None:
                return line

    @staticmethod
    def _send(writer: asyncio.StreamWriter, command: str, *parameters: str) -> None:
        writer.write(format_line(command, *parameters).encode() + b"\r\n")

    def _role(self, nick: str) -> Role:
        if self._config.broadcaster and nick.casefold() == self._config.broadcaster.casefold():
            return Role.broadcaster
        return max((_RANKS[sign] for sign in self._ranks.get(nick, "")), default=Role.viewer)

    def _note(self, line: Line) -> None:
        """Keep in mind who has a rank in the channel."""
        match line:
            case Line("353", parameters) if len(parameters) > 1:
                for name in line.text.split():
                    nick = name.lstrip("".join(_RANKS))
                    if signs := name[: len(name) - len(nick)]:
                        self._set_rank(nick, signs)
            case Line("MODE", (_, modes, *nicks)):
                self._note_modes(modes, list(nicks))
            case Line("NICK", nick=before):
                self._set_rank(line.text, self._ranks.pop(before, ""))
            case Line("PART" | "QUIT", nick=gone):
                self._ranks.pop(gone, None)
            case Line("KICK", (_, gone, *_)):
                self._ranks.pop(gone, None)

    def _note_modes(self, modes: str, nicks: list[str]) -> None:
        is_given = True
        for mode in modes:
            if mode in "+-":
                is_given = mode == "+"
            elif mode in _MODES and nicks:
                nick, sign = nicks.pop(0), _MODES[mode]
                signs = self._ranks.get(nick, "").replace(sign, "")
                self._set_rank(nick, signs + sign if is_given else signs)
            elif mode in "bkeIl" and nicks:  # these have a parameter, too
                nicks.pop(0)

    def _set_rank(self, nick: str, signs: str) -> None:
        self._ranks.pop(nick, None)
        if signs and len(self._ranks) < _MAX_MEMBERS:
            self._ranks[nick] = signs

    async def say(self, text: str) -> None:
        if self._writer is not None and self._says.take(asyncio.get_running_loop().time()):
            self._send(self._writer, "PRIVMSG", self._config.channel, text)


def _account(line: Line) -> str:
    """Who that is: the account, where the server tells it, for anybody may take a nick."""
    return line.tags.get("account") or line.nick.casefold()
