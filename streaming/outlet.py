"""An endless stream of a station in one format, encoded once for all who read it, and pushed from here too.

In: the chunks of a feed of its own; out: the same with their bytes, to sessions. An outlet remembers its encoder and
the last second, with which a new session begins: players start at once, and miss nothing that comes late by less. It
begins with the first session and outlasts the last one a little, for players that look, go and come again. Event loop
only; encoders work on their own threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from streaming.encoders.endless import Coding, Encoder, open_encoder
from streaming.engines.ring import Chunk
from streaming.feed import Feeds, Source
from streaming.journal import about
from streaming.session import FAULT, Session

log = logging.getLogger(__name__)

STORE_BLOCKS = 50
"""Players of such streams keep a second or more in store, and have no hand on the music: to them a block that comes
within a second of its time is no gap."""
MAX_UNREAD_BLOCKS = 2 * STORE_BLOCKS
_BUNDLE_BLOCKS = 5
"""So many are encoded and sent at a time: who has a second in store does not hear it, and it costs a fifth."""
_LINGER_S = 2.0
"""An outlet that nobody reads costs as much as another, in a second more than to begin anew."""


class Outlet:
    """Hands out a station's chunks with what they are in one coding."""

    def __init__(self, source: Source, coding: Coding, title: str, feeds: Feeds, on_closed: Callable[[], None]) -> None:
        """`title` names the stream where its format can tell one."""
        self.sessions: set[Session] = set()
        self.coding = coding
        self._feeds, self._on_closed = feeds, on_closed
        self._loop = asyncio.get_running_loop()
        self._recent: deque[Chunk] = deque(maxlen=STORE_BLOCKS)
        self._heard = Session(coding.kind, MAX_UNREAD_BLOCKS, STORE_BLOCKS)
        """What it hears itself."""
        self._feed = feeds.open(source, STORE_BLOCKS)
        self._feed.sessions.add(self._heard)
        self._encoder = self._loop.run_in_executor(feeds.encoder_threads, open_encoder, coding, title)
        self._encoding = asyncio.create_task(self._encode())
        self._lingering: asyncio.TimerHandle | None = self._loop.call_later(_LINGER_S, self.close)

    async def header(self) -> bytes:
        """What a reader is sent before all else."""
        return (await asyncio.shield(self._encoder)).header

    def join(self, session: Session) -> None:
        """Begin with what was handed out last."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        for chunk in self._recent:
            session.mailbox.put(chunk)
        self.sessions.add(session)

    def leave(self, session: Session) -> None:
        self.sessions.discard(session)
        if not self.sessions and self._lingering is None and not self._heard.mailbox.is_closed:
            self._lingering = self._loop.call_later(_LINGER_S, self.close)

    async def _encode(self) -> None:
        try:
            encoder = await self._encoder
            while chunks := await self._next_chunks():
                seconds = await self._loop.run_in_executor(self._feeds.encoder_threads, _encode_all, encoder, chunks)
                self._feeds.metrics.encoding_seconds.labels(self.coding.kind).inc(seconds)
                self._deliver(chunks)
        except Exception:
            log.exception("an encoder failed", extra=about(kind=self.coding.kind))
            for session in self.sessions:
                session.close(FAULT)
            self.close()

    async def _next_chunks(self) -> list[Chunk]:
        """None when it has ended; one by one until the encoder gives something, for somebody waits for that."""
        chunks: list[Chunk] = []
        num_chunks = _BUNDLE_BLOCKS if any(chunk.coded for chunk in self._recent) else 1
        while len(chunks) < num_chunks and (chunk := await self._heard.next_chunk()) is not None:
            chunks.append(chunk)
        return chunks

    def _deliver(self, chunks: Sequence[Chunk]) -> None:
        self._recent.extend(chunks)
        for session in self.sessions:
            for chunk in chunks:
                session.mailbox.put(chunk)

    def close(self) -> None:
        """Hand out nothing more; idempotent."""
        if self._heard.mailbox.is_closed:
            return
        self._heard.close()
        self._feed.close()
        self._encoding.cancel()
        if self._lingering is not None:
            self._lingering.cancel()
        self._on_closed()


def _encode_all(encoder: Encoder, chunks: Sequence[Chunk]) -> float:
    """Answer how long it took, seconds."""
    began_s = time.perf_counter()
    for chunk in chunks:
        chunk.coded = encoder.encode(chunk)
    return time.perf_counter() - began_s
