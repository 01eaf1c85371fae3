"""A chat, whatever platform it is on. In: its connections; out: messages and happenings, as if it were always there.

Remembers nothing. Event loop only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol

from streaming.chat.said import Heard
from streaming.doors import DoorState
from streaming.errors import BadConfig
from streaming.limits import Bucket
from streaming.retrying import retrying

REFUSED_S = 60.0
"""How long a server is left alone that has refused us."""
_SAYS_PER_S, _SAYS_AT_ONCE = 0.5, 5
"""IRC servers bear about so much, and Twitch 20 lines in half a minute."""


class RoomClosed(Exception):
    """A server lets nobody in like this: a password, a ban, a channel that is not there. Somebody has to mend that."""


def says() -> Bucket:
    """What a room may say: some lines at once, and then one now and then."""
    return Bucket(_SAYS_PER_S, _SAYS_AT_ONCE / _SAYS_PER_S)


class Room(Protocol):
    """One chat: messages as they come, for as long as somebody takes them. It connects again for ever."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> DoorState: ...

    def __aiter__(self) -> AsyncIterator[Heard]: ...

    async def say(self, text: str) -> None:
        """Write one line, where the room takes it; nothing where it does not, or where too much has been said."""


async def connected_again(
    connect: Callable[[], AsyncGenerator[Heard | None]], state: DoorState, failures: tuple[type[Exception], ...]
) -> AsyncGenerator[Heard]:
    """What one connection after another tells. Each yields None once it is in the room, and what it hears; it ends by
    one of `failures`, by `RoomClosed`, or by `BadConfig` of a secret that cannot be read."""
    async for attempt in retrying():
        try:
            async with aclosing(connect()) as heard:
                async for each in heard:
                    attempt.has_worked = True
                    if each is None:
                        state.connected()
                    else:
                        yield each
        except (RoomClosed, BadConfig) as error:
            attempt.least_wait_s = REFUSED_S
            state.refused(error)
        except failures as error:
            state.waiting(error)
