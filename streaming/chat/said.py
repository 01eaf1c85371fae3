"""What comes out of a chat: messages and happenings, and who they are of. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

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


Heard = Message | Happening
