"""Keeps the stations: opens and closes them, has them sleep and wake, and carries controls to the engines.

In: openings and controls; out: `Station`s and acks. Remembers the stations and the engines. Event loop only.

A station plays on one engine from when it is opened until nobody has wanted it for `sleep_s`, or until its engine has
too much to do. Then it falls asleep, and no engine knows it; whoever wants it wakes it, on whichever engine has time.
Whoever comes while it falls asleep waits until it sleeps, and wakes it then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar, cast

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS
from engine.take import Entry
from moods.control import Control, Steer
from moods.errors import BadControl, shown
from moods.opening import Opening
from moods.timeline import Timeline
from streaming.config import Config
from streaming.doors import Door
from streaming.engines.link import Engines, FellAsleep, Link
from streaming.engines.local import LocalEngines
from streaming.errors import (
    BadConfig,
    EngineFailed,
    EngineUnavailable,
    NameTaken,
    ServerEnds,
    TooManyStations,
    UnknownStation,
)
from streaming.fading import fade_out, unless_hurried
from streaming.feed import Feeds
from streaming.gauges import Gauges
from streaming.headroom import Headroom
from streaming.jobs.jobs import Jobs
from streaming.journal import about
from streaming.keeping import Record, Records
from streaming.messages import Ack, Novelty, StationKind, explained
from streaming.metrics import Metrics
from streaming.pacing import MAX_LATE_TICKS, pace, time_of
from streaming.session import DELETED, IDLE, LOST, SHUT_DOWN, Ending
from streaming.sleeping import MAX_WAKES, Sleeping
from streaming.station import Station

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_WATCH_S = 0.25
_PLACES_S = 0.5
"""How often is written down where those are that play."""
_GOODBYE_S = 4.0
"""How long a server that ends waits for its stations to be kept."""


_CARRIERS_S = 1.0
"""How long peers may take to part."""


class Conductor:
    """All stations of a server, and its engines. Use as `async with Conductor(config)`.

    Entering raises `EngineFailed` where no engine can start at all, `BadConfig` where the folder for renders cannot be
    had.
    """

    def __init__(self, config: Config, make_engines: Callable[[Config], Engines] = LocalEngines) -> None:
        self.config, self._make_engines = config, make_engines
        self.metrics = Metrics()
        self.metrics.registry.register(Gauges(self))
        self.headroom = Headroom(config.max_lag_ms / 1000)
        self.jobs = Jobs(config, self.metrics)
        """What is done for files, beside the stations."""
        self.stations: dict[str, Station] = {}
        """By id."""
        self._ids: dict[str, str] = {}
        """By name, of the stations that have one, those that are being opened too."""
        self.doors: list[Door] = []
        """The connections to others that act on stations."""
        self._num_opening = 0
        self._alone: dict[str, Station] = {}
        """Stations without listeners and clients, the one that has been alone for longest first."""
        self.sleeping = Sleeping(self)
        self._records = Records(None)
        """Where stations outlast this server, if they do."""
        self._were_heard: set[str] = set()
        """Stations that somebody listened to when this server, or the one before, was ended."""
        self._links: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_ending = False
        self._hurry = asyncio.Event()
        self._dismissals: set[asyncio.Task[None]] = set()
        """Stations that were ended and still fade out."""

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._filler_thread = ThreadPoolExecutor(1, "filler")
        self._feeds = Feeds(self.metrics, self.config.opus_bit_rate, self._filler_thread)
        self._engines = self._make_engines(self.config)
        try:
            await self.jobs.start()
            records = await self._open_records()
            await self._start_engine()
            await self._restore(records)
            self._open_always()
        except BaseException:
            await self.stop()
            raise
        coroutines = pace(self._on_tick), self._watch(), self._start_others()
        self._tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    def refuse(self) -> None:
        """Take nothing new from now on: this server is about to end."""
        self._is_ending = True
        self.jobs.refuse()

    def hurry(self) -> None:
        """Wait for nothing more that a server that ends would wait for."""
        self._hurry.set()

    async def drain(self) -> None:
        """Let the music finish its beat and fade out, end all sessions, and finish the jobs that are being done."""
        self.refuse()
        heard = [station for station in self.stations.values() if not station.is_idle]
        if heard:
            log.info("server is ending", extra=about(stations=len(heard), sessions=self.num_sessions))
        await asyncio.gather(*map(self._take_leave, heard), *self._dismissals)
        if self.config.drain_s:
            await unless_hurried(self.jobs.finish(), self._hurry, self.config.drain_s)

    async def _take_leave(self, station: Station) -> None:
        """End a station that is heard: it goes on, for the next server, with the beat that faded out."""
        is_kept = self._records.are_kept and station.outlasts_server
        if is_kept:
            self._were_heard.add(station.id)
        faded = await fade_out(station, self._hurry, is_kept=is_kept)
        carriers = [session.carrier for session in station.sessions.values() if session.carrier is not None]
        station.close(SHUT_DOWN)
        if is_kept and faded is not None:
            station.fall_asleep(faded.next_block)
            station.link.close(station.id, is_kept=True)
            self.sleeping.on_slept(station, faded.num_controls)
            self._note_place(station, is_heard=True)
        if carriers:
            partings = [asyncio.create_task(carrier.close()) for carrier in carriers]
            await asyncio.wait(partings, timeout=_CARRIERS_S)

    async def stop(self) -> None:
        """End all stations, or keep them for the next server, and end the engine; idempotent."""
        self.refuse()
        async with contextlib.AsyncExitStack() as steps:  # from the last to the first, whatever one of them raises
            steps.push_async_callback(asyncio.to_thread, self._filler_thread.shutdown)
            steps.push_async_callback(asyncio.to_thread, self._feeds.encoder_threads.shutdown)
            steps.callback(self._engines.close)
            for link in self._links:
                steps.push_async_callback(link.stop)
            steps.push_async_callback(self.jobs.stop)
            steps.push_async_callback(self._records.close)
            steps.callback(self._close_all)
            for task in (*self._tasks, *self.sleeping.waking, *self._dismissals):
                task.cancel()
            self._tasks.clear()
            if self._records.are_kept:
                await self._keep_all()

    def _close_all(self) -> None:
        for station in list(self.stations.values()):
            self.close_station(station, SHUT_DOWN)

    @property
    def is_making_room(self) -> bool:
        return bool(self._dismissals)

    def check_stays(self) -> None:
        """Raises `ServerEnds` where this server is about to end."""
        if self._is_ending:
            raise ServerEnds

    @property
    def is_ready(self) -> bool:
        """An engine takes work, and this server goes on."""
        return not self._is_ending and any(link.is_ready for link in self._links)

    async def _start_engine(self) -> None:
        """Raises `EngineFailed` where it cannot start."""
        link = self._engines.link(str(len(self._links) + 1), self)
        self._links.append(link)
        await link.start()

    async def _start_others(self) -> None:
        """Start further engines, one after another, once the first takes work: it waits for none of them. Then those
        stations play that somebody was listening to when the server before this one ended."""
        for _ in range(1, self.config.num_engines):
            try:
                await self._start_engine()
            except (EngineFailed, OSError) as error:
                log.error("an engine cannot be started", extra=about(detail=str(error)))
        for station_id in self._were_heard:
            if (station := self.stations.get(station_id)) is not None and station.is_asleep:
                self.sleeping.wake(station)
        self._were_heard.clear()

    @property
    def links(self) -> list[Link]:
        """The engines that have been started."""
        return self._links

    @property
    def num_sessions(self) -> int:
        """Listeners of all stations."""
        return self._feeds.num_sessions

    # --- stations ----------------------------------------------------------------------------------------------------

    async def open_station(self, opening: Opening, *, kind: StationKind = "station", ahead_blocks: int = 0) -> Station:
        """Open a station; it plays when this returns.

        Raises `TooManyStations`, `NameTaken`, `EngineUnavailable`, and `BadControl` for what only a file can have.
        """
        self.check_stays()
        if len(self.stations) + self._num_opening >= self.config.max_stations:
            raise TooManyStations(self.config.max_stations)
        timeline = opening.timeline
        if timeline is not None and timeline.redo:
            raise BadControl("timeline.redo is for files: a station plays what it composes; render the timeline")
        seed = _seed_of(opening)
        station_id = self._new_id()
        self._take_name(opening.name, station_id)
        self._num_opening += 1
        try:
            await self.plan(timeline)
            link = await self.sleeping.find_room()
            station = self._make_station(station_id, opening, seed, link, kind, ahead_blocks)
            await link.open(station)
            try:
                self.check_stays()
            except EngineUnavailable:
                link.close(station_id)
                raise
        except BaseException:
            self._give_back(opening.name)
            raise
        finally:
            self._num_opening -= 1
        self._begin_record(station)
        self._add(station)
        self.sleeping.want(station)
        facts = about(station=station.id, name=opening.name, mood=opening.mood, prompt=opening.prompt, seed=seed)
        log.info("station opened", extra=facts)
        return station

    async def copy_station(self, source: Station, name: str | None) -> Station:
        """Open a station that sleeps where another is now: the same music so far, and its own from there.

        Raises `UnknownStation`, `TooManyStations`, `NameTaken`, `EngineUnavailable`.
        """
        self.check_stays()
        if len(self.stations) + self._num_opening >= self.config.max_stations:
            raise TooManyStations(self.config.max_stations)
        station_id = self._new_id()
        self._take_name(name, station_id)
        self._num_opening += 1
        try:
            block, num_controls, entries = await self._copy(source, station_id)
            self.check_open(source)
            self.check_stays()
        except BaseException:
            self._give_back(name)
            source.link.forget(station_id)
            raise
        finally:
            self._num_opening -= 1
        opening = source.opening.model_copy(update={"name": name})
        record = Record(station_id, name, opening, source.seed, entries, block, source.playing(), is_heard=False)
        station = self._make_station(station_id, opening, source.seed, source.link)
        station.come_back(record)
        self._begin_record(station)
        self._add(station, num_controls)
        self._note_place(station, is_heard=False)
        log.info("station copied", extra=about(station=station_id, name=name, of=source.id))
        return station

    async def _copy(self, source: Station, copy_id: str) -> tuple[int, int, tuple[Entry, ...]]:
        """Have a station kept under another id.

        Answers the block with which the copy goes on, of how many controls what is kept holds the effect, and the log.
        """
        for _ in range(MAX_WAKES):
            self.check_open(source)
            if not source.is_asleep:
                with contextlib.suppress(FellAsleep):
                    copied = await source.link.copy(source.id, copy_id)
                    entries = tuple(entry for entry in source.log if entry.index < copied.num_controls)
                    return copied.next_block, copied.num_controls, entries
                continue
            num_kept_controls = self.sleeping.num_kept_controls(source)
            try:
                await asyncio.to_thread(source.link.copy_sleeper, source.id, copy_id)
            except OSError as error:
                raise EngineUnavailable(f"the station cannot be copied now: {error}") from error
            if source.is_asleep:  # else it may have been kept anew meanwhile
                return source.first_block, num_kept_controls, tuple(source.log)
        raise EngineUnavailable("the station falls asleep and wakes again and again; try later")

    def _begin_record(self, station: Station) -> None:
        if station.outlasts_server:
            self._records.begin(station.id, station.opening, station.seed, tuple(station.log))

    async def plan(self, timeline: Timeline | None) -> None:
        """Work out a plan beside the event loop: it goes to the engine with the timeline."""
        if timeline is not None:
            async with self.jobs.planning:
                await asyncio.to_thread(lambda: timeline.plan)

    def _make_station(
        self,
        station_id: str,
        opening: Opening,
        seed: int,
        link: Link,
        kind: StationKind = "station",
        ahead_blocks: int = 0,
    ) -> Station:
        hooks = self._on_heard, self._on_done
        return Station(station_id, opening, seed, link, self._feeds, *hooks, kind=kind, ahead_blocks=ahead_blocks)

    def _add(self, station: Station, num_kept_controls: int = 0) -> None:
        self.stations[station.id] = station
        self.sleeping.add(station, num_kept_controls)
        if station.is_idle:
            self._alone[station.id] = station
        self.metrics.stations.set(len(self.stations))

    def station(self, address: str) -> Station:
        """The station of that id or name. Raises `UnknownStation`."""
        try:
            return self.stations[self._ids.get(address, address)]
        except KeyError:
            raise UnknownStation(address) from None

    def rename(self, station: Station, name: str | None) -> None:
        """Give a station another name, or its id alone. Raises `NameTaken`."""
        if (name or station.id) != station.name:
            self._take_name(name, station.id)
            self._give_back(station.name)
            station.name = name or station.id
            if station.outlasts_server:
                self._records.rename(station.id, name)

    def _new_id(self) -> str:
        while (station_id := secrets.token_hex(6)) in self.stations or station_id in self._ids:
            pass
        return station_id

    def _take_name(self, name: str | None, station_id: str) -> None:
        """Raises `NameTaken`."""
        if name is None or name == station_id:
            return
        if name in self._ids or name in self.stations:
            raise NameTaken(name)
        self._ids[name] = station_id

    def _give_back(self, name: str | None) -> None:
        if name is not None:
            self._ids.pop(name, None)

    def check_open(self, station: Station) -> None:
        """Raises `UnknownStation` where it has been closed."""
        if self.stations.get(station.id) is not station:
            raise UnknownStation(station.id)

    def dismiss(self, station: Station) -> None:
        """End the station and, when it has faded out, all that listen to it; it is found no more when this returns."""
        if station.is_idle or not self._forget(station, DELETED):
            self.close_station(station)
            return
        task = asyncio.create_task(self._fade_and_close(station))
        self._dismissals.add(task)
        task.add_done_callback(self._dismissals.discard)

    async def _fade_and_close(self, station: Station) -> None:
        try:
            await fade_out(station, self._hurry)
        finally:
            station.close(DELETED)
            station.link.close(station.id)

    def close_station(self, station: Station, ending: Ending = DELETED) -> None:
        """End the station and all that listen to it, at once; idempotent."""
        if self._forget(station, ending):
            station.close(ending)
            station.link.close(station.id)

    def _forget(self, station: Station, ending: Ending) -> bool:
        """Have it be found no more; whether it was."""
        if self.stations.pop(station.id, None) is None:
            return False
        self._give_back(station.name)
        seconds = round(station.position()["seconds"])
        facts = about(station=station.id, seconds=seconds, underruns=station.num_underruns, reason=ending.reason)
        log.info("station closed", extra=facts)
        self._records.remove(station.id)
        self.sleeping.forget(station)
        self._alone.pop(station.id, None)
        self.metrics.stations.set(len(self.stations))
        return True

    async def control(self, station: Station, control: Control) -> Ack:
        """Apply a control and answer its ack.

        Raises `UnknownStation`, `ControlRefused`, `EngineUnavailable`.
        """
        received_s = time.monotonic()
        applied = await self.sleeping.apply(station, control)
        self.check_open(station)
        leaves_s = time.monotonic()
        if station.first_tick is not None:
            leaves_s = max(leaves_s, time_of(station.first_tick + applied.entry.block))
        # From the control's arrival to the departure of the first packet that it can change.
        latency_ms = (leaves_s - received_s) * 1000
        self.metrics.control_latency_ms.observe(latency_ms)
        ack = Ack(
            type="ack",
            id=control.id,
            effective_at=applied.effect["effective_at"],
            fields=applied.effect["fields"],
            replaces=applied.effect["replaces"],
            latency_ms=round(latency_ms, 1),
            lead_ms=applied.effect["lead_ms"],
        )
        if isinstance(control, Steer) and control.set.understood is not None:
            ack["understood"] = explained(control.set.understood)
        if control.by is not None:
            ack["by"] = control.by
        return ack

    def on_lost(self, station_id: str) -> None:
        if station_id in self.stations:
            self.close_station(self.stations[station_id], LOST)

    # --- what outlasts this server ------------------------------------------------------------------------------------

    async def _open_records(self) -> list[Record]:
        """The stations of the server before this one. Raises `BadConfig`."""
        try:
            self._records = await asyncio.to_thread(Records, self.config.stations_folder)
        except OSError as error:
            text = f"stations is {shown(self.config.stations)}: {error}; name a folder that can be written"
            if self.config.stations != "auto":
                raise BadConfig(text, field="stations") from error
            log.warning("stations will not outlast this server: %s", text)
        return await self._records.load() if self.config.restore else []

    async def _restore(self, records: list[Record]) -> None:
        """Have stations again, asleep where they were; they cost nothing until somebody comes."""
        link = self._links[0]
        kept = await asyncio.to_thread(lambda: [link.num_controls_kept(record.id) for record in records])
        for record, num_kept_controls in zip(records, kept, strict=True):
            station = self._make_station(record.id, record.opening, record.seed, link)
            station.come_back(record)
            try:
                self._take_name(record.name, record.id)
            except NameTaken as error:
                station.name = record.id
                log.warning("a station is back without its name: %s", error, extra=about(station=record.id))
            self._add(station, num_kept_controls)
            if record.is_heard:
                self._were_heard.add(record.id)
        if records:
            log.info("stations are back", extra=about(stations=len(records)))

    def _open_always(self) -> None:
        """Have the stations that the settings name; new ones sleep at their beginning, and cost nothing until somebody
        comes."""
        for opening in self.config.openings:
            assert opening.name is not None, "the settings demand one"
            if opening.name in self._ids:  # restored
                continue
            station_id, seed = self._new_id(), _seed_of(opening)
            self._take_name(opening.name, station_id)
            station = self._make_station(station_id, opening, seed, self._links[0])
            station.come_back(Record.begun(station_id, opening, seed))
            self._begin_record(station)
            self._add(station)
            log.info("station is always open", extra=about(station=station_id, name=opening.name, seed=seed))

    def _on_done(self, station: Station, entry: Entry) -> None:
        if station.id in self.stations and station.outlasts_server:
            self._records.add(station.id, entry)

    def _note_places(self) -> None:
        """Have written down where those are that play."""
        for station in self.sleeping.wanted_s:
            self._note_place(station, is_heard=not station.is_idle)
        self._records.sync()

    def _note_place(self, station: Station, *, is_heard: bool) -> None:
        if station.outlasts_server:
            self._records.place(station.id, station.frame // BLOCK_FRAMES, station.playing(), is_heard=is_heard)

    async def _keep_all(self) -> None:
        """Have stations sleep for the next server; who listens is told that this one ends."""
        self._note_places()
        kept = [station for station in self.stations.values() if station.outlasts_server]
        self._were_heard |= {station.id for station in kept if not station.is_idle}
        for station in kept:
            station.close(SHUT_DOWN)
        playing = [station for station in kept if not station.is_asleep and station.link.is_ready]
        await asyncio.gather(*(self.sleeping.falls_asleep(station, _GOODBYE_S) for station in playing))
        for station in kept:
            self.stations.pop(station.id, None)  # somebody may have closed it meanwhile

    # --- sleep -------------------------------------------------------------------------------------------------------

    def _on_heard(self, station: Station) -> None:
        self._alone.pop(station.id, None)
        if station.is_idle:
            self._alone[station.id] = station
        elif station.is_asleep and not station.is_held:
            self.sleeping.wake(station)
        station.link.tell_heard(station.id, not station.is_idle)

    def on_slept(self, station_id: str, num_kept_controls: int) -> None:
        station = self.stations.get(station_id)
        if station is None:
            return
        self.sleeping.on_slept(station, num_kept_controls)
        self._note_place(station, is_heard=station_id in self._were_heard)
        if not (station.is_idle or station.is_held):  # somebody came meanwhile
            self.sleeping.wake(station)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _on_tick(self, tick: int) -> None:
        now_s = time.monotonic()
        lag_s = now_s - time_of(tick)
        self.metrics.tick_lag_ms.observe(1000 * lag_s)
        self.headroom.note(lag_s, now_s)
        self._feeds.on_tick(tick)

    async def _watch(self) -> None:
        """Look after the engine; close stations that nobody wants."""
        checked_s = places_s = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_S)
            now_s = time.monotonic()
            if (stalled_s := now_s - checked_s - _WATCH_S) > _WATCH_S:
                self._on_stall(stalled_s, now_s)
            checked_s = now_s
            for link in self._links:
                link.watch(now_s)
            self._measure()
            if self.config.sleep_s:
                self.sleeping.let_sleep(now_s)
            if now_s >= places_s:
                places_s = now_s + _PLACES_S
                self._note_places()
            if self.config.idle_close_s:
                self._close_what_is_left_alone(now_s)

    def _close_what_is_left_alone(self, now_s: float) -> None:
        for station in list(self._alone.values()):
            if now_s - station.idle_since_s <= self.config.idle_close_s:
                return
            if not station.is_named:
                self.close_station(station, IDLE)

    def _measure(self) -> None:
        ready = [link for link in self._links if link.is_ready]
        self.metrics.engines.set(len(ready))
        self._measure_novelty([novelty for each in self.stations.values() if (novelty := each.novelty) is not None])
        self.metrics.engine_load.set(sum(link.load for link in ready) / max(1, len(ready)))
        for link in self._links:
            self.metrics.each_engine_load.labels(link.name).set(link.load if link.is_ready else 0.0)

    def _measure_novelty(self, found: Sequence[Novelty]) -> None:
        """Of the station that is least new, by each measure."""
        likeness = self.metrics.likeness
        for figure, gauge in (
            ("repeated_share_last_hour", self.metrics.repeated_share),
            ("likeness_to_hour", likeness.labels("hour")),
            ("likeness_to_mood", likeness.labels("mood")),
            ("likeness_to_learnt", likeness.labels("learnt")),
            ("longest_learnt", self.metrics.longest_learnt),
        ):
            gauge.set(max((float(cast(Any, each)[figure]) for each in found), default=0.0))

    def _on_stall(self, stalled_s: float, now_s: float) -> None:
        """Hold nothing against others that happened while this process stood still: nobody could be heard."""
        if stalled_s > MAX_LATE_TICKS * BLOCK_SECONDS:
            log.warning("this process stood still for %.1f s; the stations go on where they would be now", stalled_s)
        for link in self._links:
            link.excuse(now_s)
        for station in self.stations.values():
            station.idle_since_s += stalled_s
        self.sleeping.excuse(stalled_s)


def _seed_of(opening: Opening) -> int:
    seed = opening.chosen_seed
    return secrets.randbits(53) if seed is None else seed  # JavaScript keeps 53 bits
