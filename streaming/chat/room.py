"""A chat, whatever platform it is on. In: nothing; out: messages and happenings. Remembers nothing. Event loop only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from streaming.chat.said import Happening, Message
from streaming.doors import DoorState

REFUSED_S = 60.0
"""How long a server is left alone that has refused us."""


class RoomClosed(Exception):
    """A server lets nobody in like this: a password, a ban, a channel that is not there. Somebody has to mend that."""


class Room(Protocol):
    """One chat: messages as they come, for as long as somebody takes them. It connects again for ever."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> DoorState: ...

    def __aiter__(self) -> AsyncIterator[Message | Happening]: ...

    async def say(self, text: str) -> None:
        """Write one line, where the room takes it; nothing where it does not, or where too much has been said."""
