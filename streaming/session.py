"""One listener, and one client of the live channel. In: chunks and events; out: the same, one after another.

Both remember a bounded queue: who reads too slowly loses the oldest, and never holds up another. Event loop only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from streaming.engines.ring import Chunk
from streaming.messages import LiveMessage

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ending:
    """Why a station ended: a close code of RFC 6455, and words for who listens."""

    code: int
    reason: str


DELETED = Ending(1001, "the station was deleted")
IDLE = Ending(1001, "the station was closed because nobody listened")
SHUT_DOWN = Ending(1001, "the server was shut down")
LOST = Ending(1011, "the station could not be brought back after a failure")


class Mailbox(Generic[Item]):
    """A queue for one reader that drops its oldest item when full and can be closed for good.

    One that `jumps` then drops all that wait: of sound, a long gap is better than many short ones, and what follows
    is new.
    """

    def __init__(self, max_items: int, *, jumps: bool = False) -> None:
        self._items: deque[Item] = deque(maxlen=max_items)
        self._jumps = jumps
        self._arrived = asyncio.Event()
        self.num_dropped = 0
        self.is_closed = False
        self.ending: Ending | None = None
        """Why it was closed, where that was not the reader's own doing."""

    def put(self, item: Item) -> None:
        if self.is_closed:
            return
        if len(self._items) == self._items.maxlen:
            if self._jumps:
                self.clear()
            else:
                self.num_dropped += 1
        self._items.append(item)
        self._arrived.set()

    def clear(self) -> None:
        self.num_dropped += len(self._items)
        self._items.clear()

    def skip_to_newest(self) -> None:
        while len(self._items) > 1:
            self._items.popleft()

    def close(self, ending: Ending | None = None) -> None:
        """Take nothing more; what is there can still be read."""
        self.ending = self.ending or ending
        self.is_closed = True
        self._arrived.set()

    async def get(self) -> Item | None:
        """The next item, or None when the mailbox is closed and empty."""
        while not self._items and not self.is_closed:
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft() if self._items else None


class Carrier(Protocol):
    """What must be closed along with a session."""

    async def close(self) -> None: ...


class Session:
    """One listener of a station: reads chunks in order from the moment it begins to read."""

    def __init__(
        self,
        kind: str,
        max_chunks: int,
        lag_blocks: int = 0,
        on_began: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.kind = kind
        self.lag_blocks = lag_blocks
        """How much later than live it hears the station."""
        self.opened_s = time.monotonic()
        self.began_frame: int | None = None
        """The stream frame at which this listener's audio began; None before that."""
        self.mailbox: Mailbox[Chunk] = Mailbox(max_chunks, jumps=True)
        self.carrier: Carrier | None = None
        self._on_began = on_began

    async def next_chunk(self) -> Chunk | None:
        """The next 20 ms; None when the station or the session has ended."""
        if self.began_frame is None:
            self.mailbox.skip_to_newest()
        chunk = await self.mailbox.get()
        if chunk is not None and self.began_frame is None:
            self.began_frame = chunk.frame
            self._on_began(self)
        return chunk

    def close(self, ending: Ending | None = None) -> None:
        self.mailbox.close(ending)


class LiveClient:
    """A client of a station's live channel, whatever carries it."""

    def __init__(self, session_id: str | None = None) -> None:
        self.session_id = session_id
        """The listening session this client belongs to, if it said so: its status then tells where the audio began."""
        self.mailbox: Mailbox[LiveMessage] = Mailbox(256)
