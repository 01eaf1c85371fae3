"""The station of one socket, played as the Lyria protocol has it. In: a station; out: its blocks, one after another.

Every block comes once and in order: a pause holds the music where the client has it, to the sample, and who reads too
slowly makes it wait. Where the engine is missing for longer than the client has in store a filler sounds. Remembers the
next block, what was made and not yet read, and the beats that were told. Event loop only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS
from streaming.conductor import Conductor
from streaming.engines.ring import NUM_BLOCKS, Chunk
from streaming.filler import PAST_BLOCKS, Filler
from streaming.lyria.protocol import MusicConfig, Prompts
from streaming.lyria.wishes import Fields
from streaming.messages import Beat, LiveMessage, Place
from streaming.pacing import time_of
from streaming.session import Ending, LiveClient
from streaming.station import Station

MAX_UNREAD_BLOCKS = 100
"""Beyond its run-ahead: the music of a client that is further behind waits, well before the ring has gone round."""
_LOOK_S = 0.004
_PATIENCE_S = 0.06
"""How long after its time, and what the client was sent ahead, a block may come and is still no gap."""
_WATCH_S = 0.2
_MAX_BEATS = 32
assert MAX_UNREAD_BLOCKS + 100 < NUM_BLOCKS


@dataclass(frozen=True, slots=True)
class Source:
    """What music is made from, as the client said it."""

    prompts: Prompts
    config: MusicConfig


class Deck:
    """Plays from when it is made until `close`; its station is opened for it and closed with it."""

    def __init__(
        self, conductor: Conductor, station: Station, fields: Fields, source: Source, ahead_blocks: int
    ) -> None:
        """`station` was opened with `fields`, for nobody else; it is to play so many blocks ahead of the clock."""
        self.station, self.fields = station, fields
        """What has been asked of the station."""
        self._ahead_blocks = ahead_blocks
        self._sources = deque([(0, source)])
        """What each block is made from, from which frame on."""
        self.client = LiveClient()
        """Where the station's events come, and how it ends."""
        self._conductor = conductor
        self._next_block = 0
        self._unread: deque[Chunk] = deque()
        """What the station had made when it fell asleep."""
        self._began = Place(frame=0, seconds=0.0, bar=1, beat=1, bpm=station.position()["bpm"])
        """The first beat, of which nobody tells."""
        self._beats: deque[Beat] = deque(maxlen=_MAX_BEATS)
        self._holding: asyncio.Task[None] | None = None
        self._can_play = asyncio.Event()
        self._paused_s = 0.0
        self._is_closed = False
        self._filler: Filler | None = None
        self._can_play.set()
        station.on_standstill = self._keep
        station.add_client(self.client)
        self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """End the station."""
        for task in (self._watching, self._holding):
            if task is not None:
                task.cancel()
        self._is_closed = True
        self._can_play.set()
        self.station.on_standstill = lambda next_block: None
        self.station.remove_client(self.client)
        self._conductor.close_station(self.station)

    # --- pausing -----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Hand out nothing more: the next block is the one after the last that was handed out."""
        if self.is_paused:
            return
        self._can_play.clear()
        self._paused_s = time.monotonic()
        self._hold()

    def play(self) -> None:
        """Go on where it was paused; what the client had in store may have been heard meanwhile."""
        if not self.is_paused:
            return
        paused_blocks = int((time.monotonic() - self._paused_s) / BLOCK_SECONDS)
        self.station.ahead_blocks = min(self._ahead_blocks, paused_blocks)
        self._can_play.set()
        self._release()

    @property
    def is_paused(self) -> bool:
        return not self._can_play.is_set()

    def _hold(self) -> None:
        self.station.is_held = True  # also where it was just released, and has not yet fallen asleep
        if self._holding is None or self._holding.done():
            self._holding = asyncio.create_task(self._conductor.sleeping.hold(self.station))

    def _release(self) -> None:
        if self.station.is_held:
            self._conductor.sleeping.release(self.station)

    async def _watch(self) -> None:
        """Let the music wait for a client that reads too slowly."""
        while True:
            await asyncio.sleep(_WATCH_S)
            num_unread = self.station.frame // BLOCK_FRAMES - self._next_block
            if not self.station.is_asleep and num_unread > MAX_UNREAD_BLOCKS + self.station.ahead_blocks:
                self._hold()

    def _keep(self, next_block: int) -> None:
        """Take what has been made and not read, before it is gone."""
        first = self._next_block + len(self._unread)
        chunks = map(self.station.read, range(first, next_block))
        self._unread.extend(chunk for chunk in chunks if chunk is not None)

    # --- blocks ------------------------------------------------------------------------------------------------------

    async def next_chunk(self) -> Chunk | None:
        """The next block, when it is there and the music is not paused; None where the deck was closed meanwhile.

        One that does not come before the client has played what it was sent ahead is filled in.
        """
        while True:
            await self._can_play.wait()
            if self._is_closed:
                return None
            if self._unread:
                return self._handed_out(self._unread.popleft())
            self._release()  # who was behind has caught up
            chunk = self.station.read(self._next_block)
            if chunk is None and self._is_lost():
                self._filler = self._filler or self._make_filler()
                self.station.on_missing(self._next_block)
            if self._filler is not None and (chunk is not None or self._is_lost()):
                chunk = await asyncio.to_thread(self._filler.next_chunk, self._next_block, chunk)
                self._filler = None if self._filler.is_done else self._filler
            if chunk is not None:
                return self._handed_out(chunk)
            await asyncio.sleep(max(_LOOK_S, -self._late_s() - self.station.link.lead_ms / 1000))

    def _handed_out(self, chunk: Chunk) -> Chunk:
        self._next_block = chunk.frame // BLOCK_FRAMES + 1
        return chunk

    def _late_s(self) -> float:
        """How long ago the next block was due; below 0 before that, and 0 while nothing is."""
        first_tick = self.station.first_tick
        return 0.0 if first_tick is None else time.monotonic() - time_of(first_tick + self._next_block)

    def _is_lost(self) -> bool:
        """The next block has been waited for as long as may be, or one after it is there: it was left out."""
        late_s = self._late_s()
        if late_s < _PATIENCE_S:
            return False
        if late_s > _PATIENCE_S + self._ahead_blocks * BLOCK_SECONDS:
            return True
        later = range(self._next_block + 1, self._next_block + 1 + round(late_s / BLOCK_SECONDS))
        return any(self.station.read(block) is not None for block in later)

    def _make_filler(self) -> Filler:
        """What goes on where the next block was to come."""
        bar_frames = self.station.bar_frames()
        past: deque[npt.NDArray[np.float32]] = deque()
        while len(past) < min(PAST_BLOCKS, bar_frames // BLOCK_FRAMES + 2):
            if (chunk := self.station.read(self._next_block - 1 - len(past))) is None:
                break
            past.appendleft(chunk.pcm)
        return Filler(past, bar_frames, self._conductor.config.opus_bit_rate)

    # --- what it is made from ----------------------------------------------------------------------------------------

    def on_steered(self, frame: int | None, fields: Fields, source: Source) -> None:
        """Fields were asked of the station; they are heard from `frame` on, or nothing of them is."""
        self.fields = {**self.fields, **fields, "layers": {**self.fields["layers"], **fields.get("layers", {})}}
        self._sources.append((self._next_block * BLOCK_FRAMES if frame is None else frame, source))

    def source(self, chunk: Chunk) -> Source:
        """What a block is made from; blocks are asked about in order."""
        while len(self._sources) > 1 and self._sources[1][0] < chunk.frame + BLOCK_FRAMES:
            self._sources.popleft()
        return self._sources[0][1]

    # --- what is told ------------------------------------------------------------------------------------------------

    async def next_event(self) -> LiveMessage | None:
        """What the station tells next, or None when it has ended: `client.mailbox.ending` says why."""
        event = await self.client.mailbox.get()
        if event is not None and event["type"] == "beat":
            while self._beats and self._beats[-1]["frame"] >= event["frame"]:
                self._beats.pop()
            self._beats.append(event)
        return event

    @property
    def ending(self) -> Ending | None:
        return self.client.mailbox.ending

    def place(self, frame: int) -> dict[str, Any]:
        """Where `frame` is in the music."""
        at = next((beat for beat in reversed(self._beats) if beat["frame"] <= frame), self._began)
        return {"station": self.station.id, "frame": frame, "bar": at["bar"], "beat": at["beat"], "bpm": at["bpm"]}
