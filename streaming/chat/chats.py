"""All chat of a server: rooms, and the desks where it is worked off. In: messages; out: what stations are asked for.

Remembers a desk for each station that chat has come for. Lives as long as the server. Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Self, cast

from streaming.chat.actions import Action
from streaming.chat.allow import Allowed, read_words
from streaming.chat.audit import Audit
from streaming.chat.desk import Desk
from streaming.chat.irc import IrcRoom
from streaming.chat.music import StationMusic
from streaming.chat.room import Room
from streaming.chat.said import Happening, Message
from streaming.chat.twitch.eventsub import EventSub
from streaming.chat.twitch.irc import TwitchChat
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.errors import RateLimited
from streaming.journal import about
from streaming.limits import Bucket
from streaming.messages import ChatDecision
from streaming.station import Station

log = logging.getLogger(__name__)

_TICK_S = 0.1
_HANDED_OVER_PER_S = 1000.0
_AFTER_A_FAULT_S = 5.0


def rooms_of(conductor: Conductor) -> list[Room]:
    """The rooms that the settings name."""
    config, metrics = conductor.config, conductor.metrics
    rooms: list[Room] = []
    if config.twitch.channel and config.twitch.chat == "irc":
        rooms.append(TwitchChat(config.twitch, metrics))
    if config.twitch.channel and (config.twitch.events or config.twitch.chat == "eventsub"):
        rooms.append(EventSub(config.twitch, metrics))
    if config.irc.host:
        rooms.append(IrcRoom(config.irc, metrics))
    return rooms


class Chats:
    """Hears the rooms of the settings while entered. Raises `BadConfig` where the filter's words cannot be read."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor, config = conductor, conductor.config
        self._allowed = Allowed(config.chat.moods, read_words(config.chat.filter), config.chat.max_characters)
        self._audit = Audit(_audit_path(config), round(config.chat.audit_mb * 1e6))
        self._desks: dict[str, Desk] = {}
        """By station id; that of the settings' station by its name, whoever has it."""
        self._rooms, self._actions = rooms_of(conductor), config.twitch.actions
        self._handed_over = Bucket(_HANDED_OVER_PER_S)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._audit)
        self._conductor.doors += self._rooms
        tasks = [asyncio.create_task(self._work_off(room)) for room in self._rooms]
        for task in (*tasks, asyncio.create_task(self._tick())):
            self._stack.push_async_callback(asyncio.wait, [task])
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()
        for room in self._rooms:
            room.state.ended()
            self._conductor.doors.remove(room)

    def check_rate(self) -> None:
        """Count a message that a bot hands over. Raises `RateLimited`."""
        now_s = time.monotonic()
        if not self._handed_over.take(now_s):
            raise RateLimited(_HANDED_OVER_PER_S, self._handed_over.wait_s(now_s))

    def desk(self, station: Station) -> Desk:
        """Where a station's chat is worked off."""
        return self._desk(self._conductor.config.chat.station if self._is_chosen(station) else station.id)

    def _is_chosen(self, station: Station) -> bool:
        return self._conductor.config.chat.station in (station.id, station.name)

    def _desk(self, address: str) -> Desk:
        if address not in self._desks:
            music = StationMusic(self._conductor, address)
            self._desks[address] = Desk(self._conductor.config.chat, music, self._allowed, self._decided)
        return self._desks[address]

    def _decided(self, decision: ChatDecision) -> None:
        self._audit.add(decision)
        self._conductor.metrics.chat_commands.labels(decision["what"], decision["outcome"]).inc()

    async def _work_off(self, room: Room) -> None:
        """Hear a room for ever: whatever comes from it or goes wrong with it, the others go on."""
        while True:
            try:
                async with aclosing(cast(AsyncGenerator[Message | Happening], aiter(room))) as messages:
                    async for message in messages:
                        await self._take(room, message)
            except Exception as error:
                log.exception("a chat room failed", extra=about(door=room.name))
                room.state.waiting(error)
            await asyncio.sleep(_AFTER_A_FAULT_S)

    async def _take(self, room: Room, message: Message | Happening) -> None:
        desk = self._desk(self._conductor.config.chat.station)
        if isinstance(message, Message):
            heard = await desk.hear(room.name, message)
            if heard is not None and heard[1] is not None:
                await room.say(heard[1])
        elif (found := self._action(message)) is not None:
            await desk.happened(room.name, message, *found)

    def _action(self, happening: Happening) -> tuple[str, Action] | None:
        """What the settings have for an event, and under which name."""
        own = f"{happening.kind}:{happening.title}".casefold()
        name = own if own in self._actions else happening.kind
        return (name, self._actions[name]) if name in self._actions else None

    async def _tick(self) -> None:
        """Close votes, and forget the desks of stations that are closed."""
        while True:
            await asyncio.sleep(_TICK_S)
            for address, desk in list(self._desks.items()):
                try:
                    await desk.tick()
                except Exception:
                    log.exception("a chat's votes failed", extra=about(station=address))
                if address not in (self._conductor.config.chat.station, *self._conductor.stations):
                    self._desks.pop(address, None)


def _audit_path(config: Config) -> Path | None:
    if config.chat.audit != "auto":
        return Path(config.chat.audit).absolute() if config.chat.audit else None
    home = os.environ.get("XDG_STATE_HOME", "") or os.path.expanduser("~/.local/state")
    # As with stations: a port that the system chooses is a server of the moment.
    return Path(home) / "undersong" / f"chat-{config.port}.jsonl" if config.port and os.path.isabs(home) else None
