"""One music in the server process: its listeners and clients are served from here, whichever engine plays it.

In: the engine's blocks and events; out: feeds for sessions, events to live clients. Remembers the control log, the last
beats and status, and where its clock stood when it fell asleep. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.take import Entry, Skip, write_take
from moods.intent import BEATS_PER_BAR
from moods.opening import Opening
from streaming import messages
from streaming.encoders.endless import Coding
from streaming.engines.link import Link
from streaming.engines.ring import Chunk
from streaming.engines.wire import Applied, GaveWay, LeftOut
from streaming.errors import UnknownStation
from streaming.feed import Feed, Feeds
from streaming.journal import about
from streaming.keeping import MAX_LOG, Record
from streaming.messages import (
    Beat,
    CountingDown,
    Level,
    LiveMessage,
    Novelty,
    Place,
    Playing,
    StationHealth,
    StationState,
    Status,
    Told,
)
from streaming.outlet import Outlet
from streaming.pacing import MAX_LATE_TICKS, time_of
from streaming.session import Ending, LiveClient, Session
from streaming.titles import ARTIST, title

log = logging.getLogger(__name__)


class Station:
    """Plays for as many as listen; asleep, it has neither a clock nor blocks, and costs next to nothing."""

    def __init__(
        self,
        station_id: str,
        opening: Opening,
        seed: int,
        link: Link,
        feeds: Feeds,
        on_heard: Callable[[Station], None] = lambda station: None,
        on_done: Callable[[Station, Entry], None] = lambda station, entry: None,
        *,
        kind: messages.StationKind = "station",
        ahead_blocks: int = 0,
    ) -> None:
        """`on_heard` is told when the first listener or client has come, and when the last one has gone: `is_idle`.
        `on_done` is told what stands in the log from now on, in the place of all from its index on.

        One that plays ahead of its clock has so many blocks ready as soon as it plays.
        """
        self.id, self.opening, self.seed, self.link = station_id, opening, seed, link
        self.kind, self.ahead_blocks = kind, ahead_blocks
        self.name = opening.name or station_id
        """Where it is found too, as under its id."""
        self.first_tick: int | None = None
        """The tick of block 0; None until the engine has opened the station, and while it sleeps."""
        self.first_block = 0
        """Where the clock began to run, or stands."""
        self.is_asleep = False
        self.is_held = False
        """It is to stand still although somebody listens."""
        self.on_standstill: Callable[[int], None] = lambda next_block: None
        """Told before it falls asleep, when the blocks before that number are still there."""
        self.programme: messages.Programme | None = None
        """What is on by the time of day, where it has a programme."""
        self.gives_way = False
        """It rests, so that an overloaded engine can play the others."""
        self.sessions: dict[str, Session] = {}
        self.log: deque[Entry] = deque(maxlen=MAX_LOG)
        self.num_underruns = 0
        self.idle_since_s = time.monotonic()
        self._all_feeds, self._metrics, self._on_heard, self._on_done = feeds, feeds.metrics, on_heard, on_done
        self._loop = asyncio.get_running_loop()
        self._clients: set[LiveClient] = set()
        self._feeds: dict[int, Feed] = {}
        """By their lag in blocks."""
        self._outlets: dict[Coding, Outlet] = {}
        self._reading: dict[str, Outlet] = {}
        """By the id of the session."""
        self._last_missing = -1
        self._ending: Ending | None = None
        """Why it was closed."""
        self._beats: deque[Beat] = deque(maxlen=4 * BEATS_PER_BAR)
        self._playing: Playing
        """What the engine said last; nothing until it has opened the station."""
        self._votes: dict[messages.VoteTopic, messages.Vote] = {}
        """Those of its chat that run."""
        self._still_from: int | None = None
        """The frame from which it is paused or over."""

    # --- the engine --------------------------------------------------------------------------------------------------

    def on_opened(self, first_tick: int, playing: Playing) -> None:
        """The engine plays it, from its beginning or from where it fell asleep: block n is due at `first_tick + n`."""
        self.first_tick, self.is_asleep = first_tick, False
        self._take_in(playing)
        self._tell_status()

    def fall_asleep(self, next_block: int) -> None:
        """Stand still before number `next_block`: there is no clock and no block until the engine has opened it again.

        Frames do not count the sleep, so that what was told of its future stays true.
        """
        self.on_standstill(next_block)
        self.first_tick, self.first_block, self.is_asleep, self.gives_way = None, next_block, True, False

    def come_back(self, record: Record) -> None:
        """Be as it was when a server before this one ended: asleep."""
        self.name = record.name or self.id
        self.log.extend(record.entries)
        self._take_in(record.playing)
        self.fall_asleep(record.block)

    def _note(self, entry: Entry) -> None:
        self.log.append(entry)
        self._on_done(self, entry)

    def on_gave_way(self, report: GaveWay) -> None:
        """An overloaded engine lets it rest, or plays it again."""
        self._note(report.entry)
        self.gives_way = report.is_resting
        self._tell_status()

    def on_left_out(self, report: LeftOut) -> None:
        """The engine came too late. What it had yet to do again after a death has moved behind what it left out."""
        first = report.entries[0]
        while self.log and self.log[-1].index >= first.index:
            self.log.pop()
        for entry in report.entries:
            self._note(entry)
        assert isinstance(first.control, Skip), first
        frame = first.block * BLOCK_FRAMES
        self.broadcast(messages.Skip(type="skip", frame=frame, index=first.index, blocks=first.control.blocks))

    def on_applied(self, report: Applied) -> None:
        """Take in a control that has been applied."""
        if not report.is_idle:
            self._note(report.entry)
        self._playing = {**self._playing, "heading": report.heading, "volume_db": report.volume_db}

    # --- sound -------------------------------------------------------------------------------------------------------

    def read(self, block: int) -> Chunk | None:
        """The engine's block number `block`, where it is there."""
        return None if self.first_tick is None else self.link.read(self.id, block)

    def on_missing(self, block: int) -> None:
        """Count a block that was not there in time, once for all who were to hear it."""
        if block > self._last_missing:
            self._last_missing = block
            self.num_underruns += 1
            self._metrics.underruns.inc()

    def title(self) -> str:
        """What plays, for a player's display."""
        return title(self._playing["mood"])

    def bar_frames(self) -> int:
        """The length of a bar where the music is now."""
        bpm = self._beats[-1]["bpm"] if self._beats else 120.0
        return round(BEATS_PER_BAR * 60 * SAMPLE_RATE / bpm)

    @property
    def is_sounding(self) -> bool:
        """There is music to be heard, if anybody listens."""
        return self.first_tick is not None and self.link.is_ready and self._playing["state"] == "playing"

    def next_beat_block(self, least: int, most: int) -> int:
        """The block in which the first beat from block `least` on begins; `least` itself where `most` comes first."""
        last = self._beats[-1] if self._beats else self._playing["position"]
        beats_after = last["frame"] + round(60 * SAMPLE_RATE / last["bpm"])
        frames = [*(beat["frame"] for beat in self._beats), beats_after]
        return next((block for block in (frame // BLOCK_FRAMES for frame in frames) if least <= block <= most), least)

    def _level(self) -> Level:
        """Of the block that left last."""
        live = self._feeds.get(0)
        chunk = live.last if live is not None else self.read(self.frame // BLOCK_FRAMES)
        return Level(peak=0.0, rms=0.0) if chunk is None else Level(peak=chunk.peak, rms=chunk.rms)

    # --- listeners and clients ---------------------------------------------------------------------------------------

    def outlet(self, coding: Coding) -> Outlet:
        """The one of that coding. Raises `UnknownStation` where the station was closed."""
        if self._ending is not None:
            raise UnknownStation(self.id)
        if coding not in self._outlets:
            name, closed = f"{ARTIST}: {self.name}", functools.partial(self._outlets.__delitem__, coding)
            self._outlets[coding] = Outlet(self, coding, name, self._all_feeds, closed)
        return self._outlets[coding]

    def add_session(self, kind: str, max_chunks: int, lag_blocks: int = 0, outlet: Outlet | None = None) -> Session:
        """Begin a session that hears the station `lag_blocks` late, or what one of its outlets hands out.

        Raises `UnknownStation` where the station was closed while its listener was still asking.
        """
        if self._ending is not None:
            raise UnknownStation(self.id)
        session = Session(kind, max_chunks, lag_blocks, self._on_session_event)
        if outlet is not None:
            outlet.join(session)
            self._reading[session.id] = outlet
        else:
            if lag_blocks not in self._feeds:
                self._feeds[lag_blocks] = self._all_feeds.open(self, lag_blocks)
            self._feeds[lag_blocks].sessions.add(session)
            session.fans = self._feeds[lag_blocks].fans
        with self._told_if_heard():
            self.sessions[session.id] = session
        self._all_feeds.num_sessions += 1
        self._metrics.sessions.inc()
        log.info("session began", extra=about(station=self.id, session=session.id, kind=kind))
        return session

    def remove_session(self, session: Session, ending: Ending | None = None) -> None:
        """End a session; idempotent."""
        if session.id in self.sessions:
            with self._told_if_heard():
                del self.sessions[session.id]
            self._leave(session)
            session.close(ending)
            if session.carrier is not None:
                self._loop.create_task(session.carrier.close())
            self._all_feeds.num_sessions -= 1
            self._metrics.sessions.dec()
            self._metrics.dropped_chunks.inc(session.mailbox.num_dropped)
            seconds, dropped = round(time.monotonic() - session.opened_s), session.mailbox.num_dropped
            facts = about(station=self.id, session=session.id, kind=session.kind, seconds=seconds, dropped=dropped)
            log.info("session ended", extra=facts)

    def _leave(self, session: Session) -> None:
        if (outlet := self._reading.pop(session.id, None)) is not None:
            outlet.leave(session)
            return
        feed = self._feeds[session.lag_blocks]
        feed.sessions.discard(session)
        if not feed.sessions:
            self._feeds.pop(session.lag_blocks).close()

    def _on_session_event(self, session: Session, event: LiveMessage) -> None:
        """That a session has begun is news for all, what else becomes of it for its own clients."""
        for client in self._clients:
            if event["type"] == "session" or client.session_id == session.id:
                client.tell(event)

    def add_client(self, client: LiveClient) -> None:
        """Begin to send events, first the state of things; one that comes too late is told the ending."""
        if self._ending is not None:
            client.mailbox.close(self._ending)
            return
        with self._told_if_heard():
            self._clients.add(client)
        client.tell(self._status_for(client))
        session = self.sessions.get(client.session_id or "")
        began = session.events() if session is not None else []
        for event in (*began, *self.beats_ahead(), *self._votes.values()):
            client.tell(event)

    def remove_client(self, client: LiveClient, ending: Ending | None = None) -> None:
        with self._told_if_heard():
            self._clients.discard(client)
        client.mailbox.close(ending)

    @property
    def num_clients(self) -> int:
        """Of its live channel."""
        return len(self._clients)

    @property
    def most_unread(self) -> int:
        """How many events wait for the slowest of them."""
        return max((len(client.mailbox) for client in self._clients), default=0)

    @property
    def outlasts_server(self) -> bool:
        """It is there again when the server has ended and is back."""
        return self.kind == "station"

    @property
    def is_named(self) -> bool:
        return self.name != self.id

    @property
    def is_idle(self) -> bool:
        """Nobody listens, nobody watches."""
        return not self.sessions and not any(client.keeps_awake for client in self._clients)

    @contextlib.contextmanager
    def _told_if_heard(self) -> Iterator[None]:
        """Around a change of sessions or clients: tell whether somebody is there, where that has changed."""
        was_idle = self.is_idle
        yield
        if was_idle != self.is_idle and self._ending is None:
            self.idle_since_s = time.monotonic()
            self._on_heard(self)

    def broadcast(self, event: LiveMessage) -> None:
        for client in self._clients:
            client.tell(event)

    def _tell_status(self) -> None:
        for client in self._clients:
            client.tell(self._status_for(client))

    def close(self, ending: Ending) -> None:
        """End all that listen, the clients of the live channel with a last status."""
        self._ending = ending
        last_words = {client: self._status_for(client) for client in self._clients}
        for session in list(self.sessions.values()):
            self.remove_session(session, ending)
        for outlet in list(self._outlets.values()):
            outlet.close()
        for client, status in last_words.items():
            status["state"], status["reason"] = "closed", ending.reason
            client.tell(status)
            self.remove_client(client, ending)
        self.first_tick = None

    # --- events and state --------------------------------------------------------------------------------------------

    def on_playing(self, playing: Playing) -> None:
        """Take in how the engine plays it now, and tell."""
        self._take_in(playing)
        self._tell_status()

    def _take_in(self, playing: Playing) -> None:
        self._playing = playing
        if playing["state"] == "playing":
            self._still_from = None
        elif self._still_from is None:
            self._still_from = playing["position"]["frame"]
            self._forget_beats_from(self._still_from)  # what was told of its future comes later or never

    def on_event(self, event: Told) -> None:
        """Take in an event of the engine and pass it on."""
        if event["type"] == "beat":
            self._forget_beats_from(event["frame"])
            if self._beats and (self._beats[-1]["bar"], self._beats[-1]["beat"]) == (event["bar"], event["beat"]):
                self._beats.pop()  # the same beat, moved
            self._beats.append(event)
        if event["frame"] < self.frame - (MAX_LATE_TICKS + self.ahead_blocks) * BLOCK_FRAMES:
            return  # it waited while this process stood still: what should have sounded long ago is no news
        self.broadcast(event)

    def tell_vote(self, vote: messages.Vote) -> None:
        """Pass on how a vote of its chat stands; who comes while it runs is told, too."""
        if "outcome" in vote:
            self._votes.pop(vote["topic"], None)
        else:
            self._votes[vote["topic"]] = vote
        self.broadcast(vote)

    def beats_ahead(self) -> list[Beat]:
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
            return self.first_block * BLOCK_FRAMES
        return max(0, round((time.monotonic() - time_of(self.first_tick)) * SAMPLE_RATE))

    @property
    def _is_bridged(self) -> bool:
        """The engine has died; where somebody listens, the filler sounds."""
        return not self.link.is_ready or self._is_filling

    @property
    def _is_filling(self) -> bool:
        return any(feed.is_filling for feed in self._feeds.values())

    def position(self) -> Place:
        """Where the sound that leaves now is in the music."""
        frame = self.frame
        begun = [beat for beat in self._beats if beat["frame"] <= frame] or list(self._beats)[:1]
        at: Place = begun[-1] if begun else self._playing["position"]
        beat = (at["bar"] - 1) * BEATS_PER_BAR + at["beat"] - 1
        if self._is_bridged and self._playing["state"] == "playing":  # no beats are told, and it goes on in time
            beat += max(0, frame - at["frame"]) // round(60 * SAMPLE_RATE / at["bpm"])
        bar, beat_of_bar = divmod(beat, BEATS_PER_BAR)
        return Place(frame=frame, seconds=frame / SAMPLE_RATE, bar=bar + 1, beat=beat_of_bar + 1, bpm=at["bpm"])

    @property
    def novelty(self) -> Novelty | None:
        """How much it repeats itself and others; None where that is not known, or it sleeps."""
        return None if self.is_asleep else self._playing.get("novelty")

    def playing(self) -> Playing:
        """How it plays now."""
        return {**self._playing, "position": self.position()}

    def state(self, prefix: str = "") -> messages.Station:
        """What GET answers; links are paths under `prefix`, which is where the asker sees this server."""
        return messages.Station(**self._state(), links=self.links(prefix))

    def _state(self) -> StationState:
        playing = self._playing
        state = StationState(
            id=self.id,
            name=self.name,
            kind=self.kind,
            seed=self.seed,
            state="asleep" if self.is_asleep else playing["state"],
            mood=playing["mood"],
            heading=playing["heading"],
            position=self.position(),
            pending=playing["pending"],
            volume_db=playing["volume_db"],
            target_lufs=playing["target_lufs"],
            listeners=len(self.sessions),
            level=self._level(),
            health=StationHealth(
                is_filling=self._is_filling,
                underruns=self.num_underruns,
                lead_ms=self.link.lead_ms,
                gives_way=self.gives_way,
            ),
        )
        if self.opening.understood is not None:
            state["understood"] = messages.explained(self.opening.understood)
        if self._still_from is not None:
            state["still_from"] = self._still_from
        if "states" in playing:
            state["states"] = playing["states"]
        if "parameters" in playing:
            state["parameters"] = playing["parameters"]
        if self.programme is not None:
            state["programme"] = self.programme
        if "countdown" in playing:
            ends_at = playing["countdown"]["ends_at"]
            if (frames_left := ends_at["frame"] - self.frame) > 0:
                state["countdown"] = CountingDown(ends_at=ends_at, remaining_s=frames_left / SAMPLE_RATE)
        if "asked_by" in playing:
            state["asked_by"] = playing["asked_by"]
        if "autopilot" in playing:
            state["autopilot"] = playing["autopilot"]
        if "novelty" in playing:
            state["novelty"] = playing["novelty"]
        return state

    def links(self, prefix: str = "") -> messages.Links:
        base = f"{prefix}/v1/stations/{self.id}"
        return messages.Links(
            self=base,
            controls=f"{base}/controls",
            live=f"{base}/live",
            audio=f"{base}/audio",
            take=f"{base}/take",
            whep=f"{prefix}/whep/{self.id}",
            ogg=f"{base}/audio.ogg",
            mp3=f"{base}/audio.mp3",
            aac=f"{base}/audio.aac",
            wav=f"{base}/audio.wav",
            m3u=f"{base}/audio.m3u",
            pls=f"{base}/audio.pls",
        )

    def take(self) -> Iterator[str]:
        """JSON lines: a header, then every control with the stream frame before which it was applied.

        A `skip` is blocks that an overloaded engine left out: the music paused for them, as it does from a `rest` to a
        `resume`.
        """
        assert self.link.traits is not None, "it was opened by an engine that was ready"
        entries = tuple(self.log)
        is_complete = not entries or (entries[0].index == 0 and entries[-1].index == len(entries) - 1)
        return write_take(self.id, self.opening.asked(), self.seed, entries, self.link.traits, is_complete=is_complete)

    def _status_for(self, client: LiveClient) -> Status:
        session = self.sessions.get(client.session_id or "")
        began_frame, state = (session.began_frame, session.state()) if session else (None, None)
        return messages.status_of(self._state(), began_frame, state)
