"""One listener, and one client of the live channel. In: chunks and events; out: the same, one after another.

Both remember a bounded queue, and never hold up another. A listener who reads too slowly loses the oldest sound and is
told; a client that does is cut off, for what it was to be told is never left out. Event loop only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS
from streaming.engines.ring import Chunk
from streaming.messages import Clock, Dropped, LiveMessage, SessionBegan, SessionState

Item = TypeVar("Item")


MAX_UNREAD_EVENTS = 1024
"""As many as a client may leave unread: minutes of beats, or a second of controls and their acks."""


@dataclass(frozen=True)
class Ending:
    """Why a station, or one connection to it, ended: a close code of RFC 6455, and words for who listens."""

    code: int
    reason: str


DELETED = Ending(1001, "the station was deleted")
IDLE = Ending(1001, "the station was closed because nobody listened")
SHUT_DOWN = Ending(1001, "the server was shut down")
LOST = Ending(1011, "the station could not be brought back after a failure")
FAULT = Ending(1011, "this is a fault of the server's own; its log says more")
BINARY = Ending(1003, "the live channel takes controls as JSON text, and no binary messages")
TOO_LONG = Ending(1009, "a message is longer than 1 MiB")
TOO_SLOW = Ending(1008, f"the client is too slow: {MAX_UNREAD_EVENTS} messages wait for it")
FLOODED = Ending(1008, "the client sends faster than its messages can be read")


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

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        return len(self._items) == self._items.maxlen

    def put(self, item: Item) -> None:
        if self.is_closed:
            return
        if self.is_full:
            if self._jumps:
                self.clear()
            else:
                self.num_dropped += 1
        self._items.append(item)
        self._arrived.set()

    def clear(self) -> None:
        self.num_dropped += len(self._items)
        self._items.clear()

    def skip_to_newest(self, num_items: int = 1) -> None:
        while len(self._items) > num_items:
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
        return self.take()

    def take(self) -> Item | None:
        """The next item, or None when there is none."""
        return self._items.popleft() if self._items else None


class Fan(Protocol):
    """Sends what a feed hands out to several sessions at once, in place of their mailboxes."""

    def push(self, chunk: Chunk) -> None:
        """Send 20 ms to all; it says where it has begun, or left something out, by `Session.note`."""

    def leave(self, session: Session) -> None:
        """Send no more to a session."""

    def break_off(self) -> None:
        """End all sessions for a fault of ours."""


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
        on_event: Callable[[Session, LiveMessage], None] = lambda session, event: None,
    ) -> None:
        """`on_event` is told what concerns this listener's clients alone."""
        self.id = secrets.token_hex(8)
        self.kind = kind
        self.lag_blocks = lag_blocks
        """How much later than live it hears the station: it begins with so many in store."""
        self.opened_s = time.monotonic()
        self.began_frame: int | None = None
        """The stream frame at which this listener's audio began; None before that."""
        self.mailbox: Mailbox[Chunk] = Mailbox(max_chunks, jumps=True)
        self.dropped: Dropped | None = None
        """What is missing before the chunk that was read last."""
        self.clock: Clock | None = None
        """How its RTP time and the frames lie to each other, as it was told last."""
        self.carrier: Carrier | None = None
        self.fans: list[Fan] = []
        """Those of its feed."""
        self.fan: Fan | None = None
        """The one that sends to it, if any does."""
        self.next_frame = -1
        """Where what was sent last has ended; a fan keeps it only for `note`, and as it leaves."""
        self._max_chunks, self._on_event = max_chunks, on_event
        self._num_dropped_frames = 0

    async def next_chunk(self) -> Chunk | None:
        """The next 20 ms; None when the station or the session has ended."""
        if self.began_frame is None:
            self.mailbox.skip_to_newest(1 + self.lag_blocks)
        chunk = await self.mailbox.get()
        if chunk is not None:
            self.note(chunk)
        return chunk

    def push_to(self, fan: Fan) -> None:
        """Be sent to by a fan that it has joined, and have no more chunks in the mailbox."""
        self.mailbox.clear()
        self.fan = fan

    def note(self, chunk: Chunk) -> None:
        """Tell of the beginning, or of what is missing before the chunk."""
        self.dropped = None
        if self.began_frame is None:
            self.began_frame = chunk.frame
            self._on_event(self, SessionBegan(type="session", session=self.id, began_frame=chunk.frame))
        elif (frames := chunk.frame - self.next_frame) > 0:
            self.dropped = Dropped(type="dropped", session=self.id, frame=self.next_frame, frames=frames)
            self._num_dropped_frames += frames
            self._on_event(self, self.dropped)
        self.next_frame = chunk.frame + BLOCK_FRAMES

    def tell_clock(self, frame: int, rtp_timestamp: int) -> None:
        """The packet that began with `frame` has left under an RTP timestamp."""
        assert self.began_frame is not None, self.id
        self.clock = Clock(
            type="clock", session=self.id, frame=frame, rtp_timestamp=rtp_timestamp, began_frame=self.began_frame
        )
        self._on_event(self, self.clock)

    @property
    def buffer_ms(self) -> int:
        """How far it may fall behind before it loses what it has not read."""
        return _in_ms(self._max_chunks)

    def events(self) -> list[LiveMessage]:
        """What a client that comes later has missed."""
        if self.began_frame is None:
            return []
        began = SessionBegan(type="session", session=self.id, began_frame=self.began_frame)
        return [began] if self.clock is None else [began, self.clock]

    def state(self) -> SessionState:
        return SessionState(
            id=self.id,
            kind=self.kind,
            buffer_ms=self.buffer_ms,
            waiting_ms=_in_ms(len(self.mailbox)),
            lag_ms=_in_ms(self.lag_blocks),
            dropped_frames=self._num_dropped_frames,
        )

    def close(self, ending: Ending | None = None) -> None:
        """End it; nothing is sent any more."""
        if self.fan is not None:
            self.fan.leave(self)
            self.fan = None
        self.mailbox.close(ending)

    def break_off(self) -> None:
        """End it, and what carries it, for a fault of ours."""
        self.close(FAULT)
        if self.carrier is not None:
            asyncio.get_running_loop().create_task(self.carrier.close())


class LiveClient:
    """A client of a station's live channel, whatever carries it."""

    def __init__(self, session_id: str | None = None, *, keeps_awake: bool = True) -> None:
        self.keeps_awake = keeps_awake
        """A station is not idle while it is there."""
        self.session_id = session_id
        """The listening session this client belongs to, if it said so: its status then tells where the audio began."""
        self.mailbox: Mailbox[LiveMessage] = Mailbox(MAX_UNREAD_EVENTS)
        self._cut_off = asyncio.Event()

    def tell(self, message: LiveMessage) -> None:
        if self.mailbox.is_full:
            self.cut(TOO_SLOW)
        self.mailbox.put(message)

    def cut(self, ending: Ending) -> None:
        """End the connection without another word."""
        self.mailbox.clear()
        self.mailbox.close(ending)
        self._cut_off.set()

    async def is_cut_off(self) -> None:
        """Wait until it is, for a message that it does not read may be on its way for ever."""
        await self._cut_off.wait()


def _in_ms(num_blocks: int) -> int:
    return round(1000 * BLOCK_SECONDS * num_blocks)
