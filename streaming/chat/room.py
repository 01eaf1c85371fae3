"""A chat, whatever platform it is on. In: nothing; out: messages and happenings. Remembers nothing. Event loop only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # messages know words of chats, and doors know messages
    from streaming.doors import DoorState

REFUSED_S = 60.0
"""How long a server is left alone that has refused us."""
MAX_TEXT = 500
"""As much of a message is looked at."""


class Role(IntEnum):
    """What somebody is in a chat; each may all that those before it may."""

    viewer = 0
    subscriber = 1
    vip = 2
    moderator = 3
    broadcaster = 4


RoleName = Literal["viewer", "subscriber", "vip", "moderator", "broadcaster"]


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody wrote."""

    id: str
    """Theirs, which stays when they rename."""
    user: str
    """The name that they show."""
    role: Role
    text: str


EventKind = Literal["points", "cheer", "raid", "subscribe", "follow"]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a platform tells of somebody: points spent, bits, a raid."""

    kind: EventKind
    id: str
    user: str
    title: str = ""
    """Of a reward that points were spent on."""
    amount: int = 0
    """Bits, or viewers of a raid."""
    text: str = ""
    """What was written with it."""


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
