"""One music in the front process: its ring is read here, its listeners and clients are served from here.

In: ticks, the engine's events; out: chunks to sessions, events to live clients. Remembers the control log, the last
beats and status, and the filler while the engine is missing. Event loop only; the filler works on its own thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from moods.intent import BEATS_PER_BAR
from moods.prompt import resolve_prompt
from streaming.config import Config
from streaming.engines.link import Link
from streaming.engines.ring import Chunk
from streaming.engines.wire import Applied
from streaming.errors import UnknownStation
from streaming.filler import PAST_BLOCKS, Filler
from streaming.journal import about
from streaming.metrics import Metrics
from streaming.pacing import MAX_LATE_TICKS, time_of
from streaming.protocol import Event, LogEntry
from streaming.session import Ending, LiveClient, Session

log = logging.getLogger(__name__)

_RETRY_S = 0.004
_NUM_RETRIES = 3
"""A block that comes within 12 ms of its deadline is still taken: jitter buffers forgive that, a filler is heard."""
_MAX_LOG = 100_000
_TOLD_AHEAD = ("beat", "section", "marker")


class Station:
    """Hands out one block every tick, whatever happens to the engine."""

    def __init__(
        self,
        station_id: str,
        opening: dict[str, Any],
        seed: int,
        link: Link,
        config: Config,
        metrics: Metrics,
        filler_thread: ThreadPoolExecutor,
    ) -> None:
        self.id, self.opening, self.seed, self.link = station_id, opening, seed, link
        self.name: str = opening.get("name") or station_id
        self.first_tick: int | None = None
        """The tick of block 0; None until the engine has opened the station."""
        self.sessions: dict[str, Session] = {}
        self.log: deque[LogEntry] = deque(maxlen=_MAX_LOG)
        self.num_underruns = 0
        self.idle_since_s = time.monotonic()
        self._config, self._metrics, self._filler_thread = config, metrics, filler_thread
        self._loop = asyncio.get_running_loop()
        self._clients: set[LiveClient] = set()
        self._next_block = 0
        self._sent: deque[Chunk] = deque(maxlen=PAST_BLOCKS)
        self._filler: Filler | None = None
        self._num_filling = 0
        self._ending: Ending | None = None
        """Why it was closed."""
        self._beats: deque[Event] = deque(maxlen=4 * BEATS_PER_BAR)
        self._status: Event = {}
        """The engine's last; empty until it has opened the station."""

    # --- sound -------------------------------------------------------------------------------------------------------

    def on_opened(self, first_tick: int, status: Event) -> None:
        self.first_tick, self._status = first_tick, status

    def on_applied(self, report: Applied) -> None:
        """Take in a control that has been applied."""
        self.log.append(report.entry)
        self._status = self._status | {"heading": report.heading}

    def on_tick(self, tick: int) -> None:
        """Hand out what is due until `tick`, or from `tick` on where too much has been missed."""
        if self.first_tick is None:
            return
        block = tick - self.first_tick
        if block - self._next_block > MAX_LATE_TICKS:
            self._leave_out_until(block)
        self._play_through(block, _NUM_RETRIES)

    def _leave_out_until(self, block: int) -> None:
        """Go on at `block`, with a moment of the filler to join what was heard last to what comes."""
        for session in self.sessions.values():
            session.mailbox.clear()
        self._next_block = block + 1
        self._hand_out(block, None)

    def _play_through(self, block: int, retries: int) -> None:
        """Hand out all blocks up to `block`; look again shortly where the last one is late, unless closed meanwhile."""
        while self.first_tick is not None and self._next_block <= block:
            chunk = self.link.read(self.id, self._next_block)
            if chunk is None and self._filler is None and self._next_block == block and retries:
                self._loop.call_later(_RETRY_S, self._play_through, block, retries - 1)
                return
            self._hand_out(self._next_block, chunk)
            self._next_block += 1

    def _hand_out(self, block: int, chunk: Chunk | None) -> None:
        if chunk is None:
            self.num_underruns += 1
            self._metrics.underruns.inc()
        if self._filler is None:
            if chunk is not None:
                self._deliver(chunk)
                return
            past = [sent.pcm for sent in self._sent]
            self._filler = Filler(past, self._bar_frames(), self._config.opus_bit_rate)
        self._num_filling += 1
        filled = self._filler_thread.submit(self._filler.next_chunk, block, chunk)
        filled.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._on_filled, done))

    def _on_filled(self, filled: Future[Chunk]) -> None:
        self._num_filling -= 1
        self._metrics.filler_seconds.inc(BLOCK_FRAMES / SAMPLE_RATE)
        if self._filler is not None and self._filler.is_done and not self._num_filling:
            self._filler = None
        self._deliver(filled.result())

    def _deliver(self, chunk: Chunk) -> None:
        self._sent.append(chunk)
        for session in self.sessions.values():
            session.mailbox.put(chunk)

    def _bar_frames(self) -> int:
        bpm = self._beats[-1]["bpm"] if self._beats else 120.0
        return round(BEATS_PER_BAR * 60 * SAMPLE_RATE / bpm)

    # --- listeners and clients ---------------------------------------------------------------------------------------

    def add_session(self, kind: str, max_chunks: int) -> Session:
        """Raises `UnknownStation` where the station was closed while its listener was still asking."""
        if self._ending is not None:
            raise UnknownStation(self.id)
        session = Session(kind, max_chunks, self._on_session_began)
        self.sessions[session.id] = session
        self._metrics.sessions.inc()
        log.info("session began", extra=about(station=self.id, session=session.id, kind=kind))
        return session

    def remove_session(self, session: Session, ending: Ending | None = None) -> None:
        """End a session; again is no harm."""
        if self.sessions.pop(session.id, None) is not None:
            session.close(ending)
            if session.carrier is not None:
                self._loop.create_task(session.carrier.close())
            self._metrics.sessions.dec()
            self._metrics.dropped_chunks.inc(session.mailbox.num_dropped)
            seconds, dropped = round(time.monotonic() - session.opened_s), session.mailbox.num_dropped
            facts = about(station=self.id, session=session.id, kind=session.kind, seconds=seconds, dropped=dropped)
            log.info("session ended", extra=facts)
            self.idle_since_s = time.monotonic()

    def _on_session_began(self, session: Session) -> None:
        self.broadcast(_session_event(session))

    def add_client(self, client: LiveClient) -> None:
        """Begin to send events, first the state of things; one that comes too late is told the ending."""
        if self._ending is not None:
            client.mailbox.close(self._ending)
            return
        self._clients.add(client)
        client.mailbox.put(self._status_for(client))
        session = self.sessions.get(client.session_id or "")
        if session is not None and session.began_frame is not None:
            client.mailbox.put(_session_event(session))
        for beat in self.beats_ahead():
            client.mailbox.put(beat)

    def remove_client(self, client: LiveClient, ending: Ending | None = None) -> None:
        self._clients.discard(client)
        client.mailbox.close(ending)
        self.idle_since_s = time.monotonic()

    @property
    def is_idle(self) -> bool:
        return not self.sessions and not self._clients

    def broadcast(self, event: Event) -> None:
        for client in self._clients:
            client.mailbox.put(event)

    def close(self, ending: Ending) -> None:
        """End all that listen, the clients of the live channel with a last status."""
        self._ending = ending
        last_words = {client: self._status_for(client) for client in self._clients}
        for session in list(self.sessions.values()):
            self.remove_session(session, ending)
        for client, status in last_words.items():
            client.mailbox.put(status | {"state": "closed", "reason": ending.reason})
            self.remove_client(client, ending)
        self.first_tick = None

    # --- events and state --------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take in an event of the engine and pass it on."""
        if event["type"] == "status":
            self._status = event
            if event["state"] != "playing":  # what was told of its future comes later or never
                self._forget_beats_from(event["position"]["frame"])
            for client in self._clients:
                client.mailbox.put(self._status_for(client))
            return
        if event["type"] == "skip":
            message = {"type": "skip", "blocks": event["blocks"]}
            self.log.append(LogEntry(event["index"], event["frame"] // BLOCK_FRAMES, message))
        if event["type"] == "beat":
            self._forget_beats_from(event["frame"])
            if self._beats and (self._beats[-1]["bar"], self._beats[-1]["beat"]) == (event["bar"], event["beat"]):
                self._beats.pop()  # the same beat, moved
            self._beats.append(event)
        if event["type"] in _TOLD_AHEAD and event["frame"] < self.frame - MAX_LATE_TICKS * BLOCK_FRAMES:
            return  # it waited while this process stood still: what should have sounded long ago is no news
        self.broadcast(event)

    def beats_ahead(self) -> list[Event]:
        """The beats that have been told and are yet to sound."""
        frame = self.frame
        return [beat for beat in self._beats if beat["frame"] > frame]

    def _forget_beats_from(self, frame: int) -> None:
        while self._beats and self._beats[-1]["frame"] >= frame:
            self._beats.pop()

    @property
    def frame(self) -> int:
        """The stream frame that leaves the server now."""
        if self.first_tick is None:
            return 0
        return max(0, round((time.monotonic() - time_of(self.first_tick)) * SAMPLE_RATE))

    def position(self) -> dict[str, Any]:
        """Where the sound that leaves now is in the music."""
        frame = self.frame
        begun = [beat for beat in self._beats if beat["frame"] <= frame] or list(self._beats)[:1]
        beat = begun[-1] if begun else self._status["position"]
        place = {name: beat[name] for name in ("bar", "beat", "bpm")}
        return {"frame": frame, "seconds": frame / SAMPLE_RATE, **place}

    def state(self, prefix: str = "") -> dict[str, Any]:
        """What GET answers; links are paths under `prefix`, which is where the asker sees this server."""
        chunk = self._sent[-1] if self._sent else None
        prompt = self.opening.get("prompt")
        return {
            "id": self.id,
            "name": self.name,
            "seed": self.seed,
            "links": self.links(prefix),
            **{name: self._status[name] for name in ("state", "mood", "heading")},
            "position": self.position(),
            "listeners": len(self.sessions),
            "level": {"peak": chunk.peak if chunk else 0.0, "rms": chunk.rms if chunk else 0.0},
            "health": {"is_filling": self._filler is not None, "underruns": self.num_underruns},
            **({} if prompt is None else {"understood": resolve_prompt(prompt).to_dict()}),
        }

    def links(self, prefix: str = "") -> dict[str, str]:
        base = f"{prefix}/v1/stations/{self.id}"
        return {
            "self": base,
            "whep": f"{prefix}/whep/{self.id}",
            **{name: f"{base}/{name}" for name in ("controls", "live", "audio", "take")},
            **{kind: f"{base}/audio.{kind}" for kind in ("ogg", "mp3", "wav")},
        }

    def take(self) -> Iterator[str]:
        """JSON lines: the opening, then every control with the stream frame before which it was applied.

        A `skip` is blocks that an overloaded engine left out: the music paused for them.
        """
        is_complete = not self.log or self.log[0].index == 0
        opening = {"type": "opening", "station": self.id, "is_complete": is_complete, **self.opening, "seed": self.seed}
        yield json.dumps(opening, ensure_ascii=False) + "\n"
        for entry in list(self.log):
            yield json.dumps({"frame": entry.block * BLOCK_FRAMES, **entry.control}, ensure_ascii=False) + "\n"

    def _status_for(self, client: LiveClient) -> Event:
        state = self.state()
        del state["links"]
        session = self.sessions.get(client.session_id or "")
        return {"type": "status", **state, "session_began_frame": session.began_frame if session else None}


def _session_event(session: Session) -> Event:
    return {"type": "session", "session": session.id, "began_frame": session.began_frame}
