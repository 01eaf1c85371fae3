"""A station's sound as one kind of listener hears it: live, or with a fixed number of blocks in store.

In: ticks, the station's blocks; out: chunks to sessions. A feed remembers its next block, what is late and, while the
engine is missing, a filler; it lasts as long as it has sessions. Event loop only; fillers work on their own thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from streaming.engines.ring import Chunk
from streaming.filler import PAST_BLOCKS, Filler
from streaming.metrics import Metrics
from streaming.pacing import MAX_LATE_TICKS
from streaming.session import Fan, Session

log = logging.getLogger(__name__)

_LOOK_S = 0.004
_MAX_LOOKS = 3
"""A block that comes within 12 ms is still taken: jitter buffers forgive that, a filler is heard. Looks are counted, no
time: when this process has itself stood still, what is missing afterwards has not been waited for."""
_MAX_LOOKS_BEHIND = 2 * _MAX_LOOKS
"""Until the feed is on time again: one late block after another does not add up to a delay."""


class Source(Protocol):
    """What a feed asks of its station."""

    first_tick: int | None
    """The tick of block 0; None while the station's clock stands still."""
    first_block: int
    """The first block there is since the clock began to run."""

    def read(self, block: int) -> Chunk | None:
        """Block number `block`, where it is there."""

    def bar_frames(self) -> int:
        """The length of a bar."""

    def on_missing(self, block: int) -> None:
        """Count a block that a listener was due and that was not there."""


class Feed:
    """Hands out one block every tick, whatever happens to the engine: block n at tick `first_tick + n`.

    With a lag it begins so many blocks earlier, all at once: its listeners have them in store, and a block that comes
    later by less is waited for.
    """

    def __init__(self, source: Source, lag_blocks: int, feeds: Feeds) -> None:
        self.sessions: set[Session] = set()
        self.fans: list[Fan] = []
        """What sends to some of them; filled by who has such a way."""
        self.last: Chunk | None = None
        """What was handed out last."""
        self._source, self._lag_blocks, self._feeds = source, lag_blocks, feeds
        self._loop = asyncio.get_running_loop()
        self._next_block = -1
        """Below 0 until the first tick: whoever comes begins with what is due then."""
        self._due_block = self._newest_block = -1
        """What has to be handed out by now, and what may be."""
        self._looking: asyncio.TimerHandle | None = None
        self._num_looks = self._num_looks_behind = 0
        """For the next block in vain; since the feed was last on time."""
        self._filler: Filler | None = None
        self._num_filling = 0

    @property
    def is_filling(self) -> bool:
        return self._filler is not None

    def on_tick(self, tick: int) -> None:
        """Hand out what is due until `tick`, or from `tick` on where too much has been missed."""
        if self._source.first_tick is None:
            return
        newest_block = tick - self._source.first_tick
        has_stood_still = self._next_block >= 0 and newest_block - self._newest_block > MAX_LATE_TICKS
        self._newest_block, self._due_block = newest_block, newest_block - self._lag_blocks
        next_block = self._next_block if self._next_block >= 0 else self._due_block
        self._next_block = max(next_block, self._source.first_block)
        resumed = max(self._due_block, newest_block - MAX_LATE_TICKS) if has_stood_still else self._due_block
        if resumed - self._next_block > MAX_LATE_TICKS:
            self._leave_out(self._next_block, resumed)
        if self._looking is None:
            self._play()

    def _leave_out(self, next_block: int, block: int) -> None:
        """Go on at `block`, with a moment of the filler to join what was heard last to what comes."""
        for session in self.sessions:
            session.mailbox.clear()
        self._fill_from(next_block)
        self._hand_out(block, None)

    def _play(self) -> None:
        """Hand out all that is there by its tick; look again shortly where a block is late that is due."""
        self._looking = None
        while self._source.first_tick is not None and self._next_block <= self._newest_block:
            chunk = self._source.read(self._next_block)
            if chunk is None and self._next_block > self._due_block:
                break
            if chunk is None and self._num_looks < _MAX_LOOKS and self._num_looks_behind < _MAX_LOOKS_BEHIND:
                self._num_looks += 1
                self._num_looks_behind += 1
                self._looking = self._loop.call_later(_LOOK_S, self._play)
                return
            if chunk is None:
                self._fill_from(self._next_block)
            self._hand_out(self._next_block, chunk)
        self._num_looks_behind = 0

    def _fill_from(self, block: int) -> None:
        """Make a filler that goes on where number `block` was to come, unless there is one."""
        if self._filler is not None:
            return
        bar_frames = self._source.bar_frames()
        past: list[npt.NDArray[np.float32]] = []
        for earlier in range(block - 1, max(-1, block - 1 - min(PAST_BLOCKS, bar_frames // BLOCK_FRAMES + 2)), -1):
            if (chunk := self._source.read(earlier)) is None:
                break
            past.append(chunk.pcm)
        self._filler = Filler(past[::-1], bar_frames, self._feeds.opus_bit_rate)

    def _hand_out(self, block: int, chunk: Chunk | None) -> None:
        self._next_block, self._num_looks = block + 1, 0
        if chunk is None:
            self._source.on_missing(block)
        if self._filler is None:
            assert chunk is not None, block
            self._deliver(chunk)
            return
        self._num_filling += 1
        filled = self._feeds.filler_thread.submit(self._filler.next_chunk, block, chunk)
        filled.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._on_filled, done))

    def _on_filled(self, filled: Future[Chunk]) -> None:
        self._num_filling -= 1
        self._feeds.metrics.filler_seconds.inc(BLOCK_FRAMES / SAMPLE_RATE)
        if self._filler is not None and self._filler.is_done and not self._num_filling:
            self._filler = None
        self._deliver(filled.result())

    def _deliver(self, chunk: Chunk) -> None:
        self.last = chunk
        if self.fans:
            self._feeds.push(self.fans, chunk)
        for session in self.sessions:
            if session.fan is None:
                session.mailbox.put(chunk)

    def close(self) -> None:
        """Hand out nothing more."""
        self._feeds.remove(self)
        if self._looking is not None:
            self._looking.cancel()


class Feeds:
    """All feeds that somebody listens to: what is done at a tick. Remembers them, and what all of them use."""

    def __init__(self, metrics: Metrics, opus_bit_rate: int, filler_thread: ThreadPoolExecutor) -> None:
        self.metrics, self.opus_bit_rate, self.filler_thread = metrics, opus_bit_rate, filler_thread
        self.encoder_threads = ThreadPoolExecutor(os.cpu_count() or 1, "encoder")
        self.num_sessions = 0
        """Listeners of all stations, who count them."""
        self._feeds: set[Feed] = set()
        self._pushes: deque[tuple[Fan, Chunk]] = deque()
        self._pushing_since_s = 0.0

    def open(self, source: Source, lag_blocks: int) -> Feed:
        """Begin a feed of `source`; it is closed by its own `close`."""
        feed = Feed(source, lag_blocks, self)
        self._feeds.add(feed)
        return feed

    def remove(self, feed: Feed) -> None:
        self._feeds.discard(feed)

    def on_tick(self, tick: int) -> None:
        for feed in self._feeds:
            feed.on_tick(tick)

    def push(self, fans: list[Fan], chunk: Chunk) -> None:
        """Have each send its chunk in turn, so that many do not hold up whatever else waits."""
        if not self._pushes:
            self._pushing_since_s = time.monotonic()
            asyncio.get_running_loop().call_soon(self._push_next)
        self._pushes.extend((fan, chunk) for fan in fans)

    def _push_next(self) -> None:
        fan, chunk = self._pushes.popleft()
        try:
            fan.push(chunk)
        except Exception:  # its own loss, and told once
            log.exception("listeners cannot be sent to")
            fan.break_off()
        if self._pushes:
            asyncio.get_running_loop().call_soon(self._push_next)
        else:
            self.metrics.push_ms.observe(1000 * (time.monotonic() - self._pushing_since_s))
