"""Keeps the stations playing: opens and closes them, carries controls to the engine, brings the engine back.

In: openings and controls; out: `Station`s and acks. Remembers the stations, the engine process, unanswered requests.
Event loop only.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from engine.audio import BLOCK_SECONDS
from moods.control import parse_control, parse_opening
from streaming import protocol
from streaming.config import Config
from streaming.engine_process import EngineProcess, make_runtime_folder
from streaming.errors import (
    ControlRefused,
    EngineFailed,
    EngineUnavailable,
    StreamingError,
    TooManyStations,
    UnknownStation,
)
from streaming.journal import about
from streaming.metrics import Metrics
from streaming.pacing import MAX_LATE_TICKS, pace, time_of
from streaming.ring import Ring
from streaming.session import DELETED, IDLE, LOST, SHUT_DOWN, Ending
from streaming.starting import StartNotice
from streaming.station import Station

log = logging.getLogger(__name__)

_ANSWER_S = 15.0
_WATCH_S = 0.25
_FULL_LOAD = 0.9
_STEADY_S = 10.0
"""An engine that lived longer is started again at once, another after a pause."""
_LONGEST_PAUSE_S = 5.0


class Conductor:
    """The front's side of one engine process. Use as `async with Conductor(config)`.

    Entering raises `EngineFailed` where the engine cannot start at all.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.stations: dict[str, Station] = {}
        self.is_ready = False
        """The engine takes work."""
        self.load = 0.0
        self._engine: EngineProcess | None = None
        self._notice = StartNotice(log.info if config.log_json else None)
        self._started: asyncio.Future[None] | None = None
        self._heard_s = 0.0
        self._ready_s = 0.0
        self._num_failures = 0
        self._opening: dict[str, tuple[Station, asyncio.Future[None]]] = {}
        self._requests = itertools.count()
        self._unanswered: dict[int, tuple[protocol.Apply, asyncio.Future[protocol.Event], float]] = {}
        self._resent: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._folder = make_runtime_folder(self.config)
        self._filler_thread = ThreadPoolExecutor(1, "filler")
        self._started = asyncio.get_running_loop().create_future()
        try:
            self._start_engine()
            await self._started
        except BaseException:
            await self.stop()
            raise
        self._tasks = [asyncio.create_task(pace(self._on_tick)), asyncio.create_task(self._watch())]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close all stations and end the engine; again is no harm."""
        self.is_ready = False
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for station in list(self.stations.values()):
            self.close_station(station, SHUT_DOWN)
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await asyncio.to_thread(engine.stop)
        await asyncio.to_thread(self._filler_thread.shutdown)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_engine(self) -> None:
        self._heard_s = time.monotonic()
        self._engine = EngineProcess(self.config, self._folder, self._on_report, self._on_engine_exit)

    # --- stations ----------------------------------------------------------------------------------------------------

    async def open_station(self, opening: Any) -> Station:
        """Open a station from the body of a POST; it plays when this returns.

        Raises `MoodsError`, `TooManyStations`, `EngineUnavailable`.
        """
        parsed = parse_opening(opening)
        if len(self.stations) + len(self._opening) >= self.config.max_stations:
            raise TooManyStations(self.config.max_stations)
        if not self.is_ready:
            raise EngineUnavailable("the engine is restarting; try again in a few seconds")
        if self.load > _FULL_LOAD:
            raise EngineUnavailable(f"the engine is {self.load:.0%} busy with {len(self.stations)} stations; try later")
        seed = parsed.seed if parsed.seed is not None else secrets.randbits(53)  # JavaScript keeps 53 bits
        station_id = secrets.token_hex(6)
        try:
            ring = Ring(self._folder / f"{station_id}.ring", create=True)
        except OSError as error:
            raise EngineUnavailable(f"no room for another station in {self._folder}: {error.strerror}") from error
        station = Station(station_id, dict(opening), seed, ring, self.config, self.metrics, self._filler_thread)
        opened = asyncio.get_running_loop().create_future()
        self._opening[station_id] = (station, opened)
        self._send(self._open_request(station))
        try:
            await asyncio.wait_for(opened, _ANSWER_S)
        except BaseException as error:
            del self._opening[station_id]
            self._send(protocol.Close(station_id))
            station.close(LOST)
            if isinstance(error, TimeoutError):
                raise EngineUnavailable("the engine did not answer in time") from error
            raise
        del self._opening[station_id]
        self.stations[station_id] = station
        self.metrics.stations.set(len(self.stations))
        facts = about(station=station_id, name=parsed.name, mood=parsed.mood, prompt=parsed.prompt, seed=seed)
        log.info("station opened", extra=facts)
        return station

    def station(self, station_id: str) -> Station:
        """Raises `UnknownStation`."""
        try:
            return self.stations[station_id]
        except KeyError:
            raise UnknownStation(station_id) from None

    def close_station(self, station: Station, ending: Ending = DELETED) -> None:
        """End the station and all that listen to it; again is no harm."""
        if self.stations.pop(station.id, None) is None:
            return
        self._send(protocol.Close(station.id))
        for request, (apply, answer, _) in list(self._unanswered.items()):
            if apply.station == station.id:
                del self._unanswered[request]
                _settle(answer, UnknownStation(station.id))
        seconds = round(station.position()["seconds"])
        facts = about(station=station.id, seconds=seconds, underruns=station.num_underruns, reason=ending.reason)
        log.info("station closed", extra=facts)
        station.close(ending)
        self._snapshot_path(station).unlink(missing_ok=True)
        self.metrics.stations.set(len(self.stations))

    async def control(self, station: Station, message: Any) -> protocol.Event:
        """Apply a control and answer its ack.

        Raises `MoodsError`, `UnknownStation`, `ControlRefused`, `EngineUnavailable`.
        """
        if self.stations.get(station.id) is not station:
            raise UnknownStation(station.id)
        parse_control(message)
        request = next(self._requests)
        answer: asyncio.Future[protocol.Event] = asyncio.get_running_loop().create_future()
        apply = protocol.Apply(station.id, request, message)
        self._unanswered[request] = (apply, answer, time.monotonic())
        self._send(apply)
        try:
            return await asyncio.wait_for(answer, _ANSWER_S)
        except TimeoutError:
            raise EngineUnavailable("the engine did not answer in time; the control may still be applied") from None
        finally:
            self._unanswered.pop(request, None)
            self._resent.discard(request)

    def _snapshot_path(self, station: Station) -> Path:
        return self._folder / f"{station.id}.snapshot"

    def _open_request(self, station: Station) -> protocol.Open:
        entries = tuple(entry for entry in station.log if entry.index >= station.num_kept_controls)
        paths = str(station.ring.path), str(self._snapshot_path(station))
        return protocol.Open(station.id, station.opening, station.seed, *paths, station.first_tick, entries)

    def _send(self, request: Any) -> None:
        """Requests made while the engine is away are sent when it is back."""
        if self._engine is not None and self.is_ready:
            self._engine.send(request)

    # --- what the engine says ----------------------------------------------------------------------------------------

    def _on_report(self, engine: EngineProcess, report: Any) -> None:
        if engine is not self._engine:
            return
        self._heard_s = time.monotonic()
        match report:
            case protocol.Health():
                self._on_health(report)
            case protocol.Happened(station=station_id):
                if station_id in self.stations:
                    self.stations[station_id].on_event(report.event)
                elif station_id in self._opening:
                    self._opening[station_id][0].on_event(report.event)
            case protocol.Applied():
                self._on_applied(report)
            case protocol.Refused(request=None, problem=problem):
                self._on_refused(report, EngineUnavailable(problem["detail"]))
            case protocol.Refused(problem=problem):
                self._on_refused(report, ControlRefused(**problem))
            case protocol.Kept(station=station_id, num_controls=num_controls):
                if station_id in self.stations:
                    self.stations[station_id].num_kept_controls = num_controls
            case protocol.Opened(station=station_id):
                if station_id in self._opening:
                    station, opened = self._opening[station_id]
                    station.on_opened(report)
                    _settle(opened, None)
            case protocol.Compiling(done=done, total=total):
                self._notice(done, total)
            case protocol.Ready():
                self._notice.end()
                self._on_ready()
            case protocol.Failed(detail=detail):
                _settle(self._started, EngineFailed(detail))

    def _on_health(self, health: protocol.Health) -> None:
        self.load += 0.1 * (health.load - self.load)
        self.metrics.engine_load.set(self.load)
        self.metrics.late_blocks.inc(health.late_blocks)
        self.metrics.composer_resets.inc(health.counters.get("composer_resets", 0))
        for step_ms in health.step_ms:
            self.metrics.step_ms.observe(step_ms)

    def _on_applied(self, report: protocol.Applied) -> None:
        station = self.stations.get(report.station)
        if station is None or station.first_tick is None:
            return
        station.on_applied(report)
        _, answer, received_s = self._unanswered.get(report.request, (None, None, None))
        if answer is not None and received_s is not None:
            leaves_s = max(time.monotonic(), time_of(station.first_tick + report.entry.block))
            latency_ms = (leaves_s - received_s) * 1000
            self.metrics.control_latency_ms.observe(latency_ms)
            # From the control's arrival to the departure of the first packet that it can change.
            _settle(answer, report.ack | {"latency_ms": round(latency_ms, 1)})

    def _on_refused(self, report: protocol.Refused, error: StreamingError) -> None:
        if report.request is not None:
            answer = self._unanswered.get(report.request, (None, None))[1]
            _settle(answer, error)
        elif report.station in self._opening:
            _settle(self._opening[report.station][1], error)
        elif report.station in self.stations:
            log.error("station %s could not be brought back: %s", report.station, error)
            self.close_station(self.stations[report.station], LOST)

    # --- when the engine dies ----------------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        """Send what the engine must know: stations that play, then requests that were not answered."""
        self.is_ready, self.load, self._ready_s = True, 0.0, time.monotonic()
        for station in [*self.stations.values(), *(station for station, _ in self._opening.values())]:
            self._send(self._open_request(station))
        for apply, answer, _ in list(self._unanswered.values()):
            if apply.request in self._resent:  # it has met two deaths: it may be their cause
                _settle(answer, EngineUnavailable("the engine died twice over this control; it is not applied"))
            else:
                self._resent.add(apply.request)
                self._send(apply)
        _settle(self._started, None)

    def _on_engine_exit(self, engine: EngineProcess) -> None:
        if engine is not self._engine:
            return
        self._engine = None
        if self._started is not None and not self._started.done():
            self._started.set_exception(EngineFailed("the engine process ended while it started; its words are above"))
            return
        is_steady = self.is_ready and time.monotonic() - self._ready_s > _STEADY_S
        self._num_failures = 0 if is_steady else self._num_failures + 1
        self.is_ready = False
        self.metrics.engine_restarts.inc()
        log.error("the engine process has died; starting another")
        pause_s = min(_LONGEST_PAUSE_S, 0.05 * 2**self._num_failures) if self._num_failures else 0.0
        self._tasks.append(asyncio.create_task(self._restart(engine, pause_s)))

    async def _restart(self, dead: EngineProcess, pause_s: float) -> None:
        await asyncio.to_thread(dead.stop)
        await asyncio.sleep(pause_s)
        self._start_engine()

    async def _watch(self) -> None:
        """Take a silent engine for dead; close stations that nobody wants."""
        checked_s = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_S)
            now_s = time.monotonic()
            if (stalled_s := now_s - checked_s - _WATCH_S) > _WATCH_S:
                self._on_stall(stalled_s, now_s)
            checked_s = now_s
            is_watched = self._engine is not None and self.is_ready
            if is_watched and now_s - self._heard_s > self.config.hang_s:
                log.error("the engine has been silent for %.1f s; ending it", now_s - self._heard_s)
                self._engine.kill()
                self._heard_s = now_s
            if self.config.idle_close_s:
                for station in list(self.stations.values()):
                    if station.is_idle and now_s - station.idle_since_s > self.config.idle_close_s:
                        self.close_station(station, IDLE)
            self._tasks = [task for task in self._tasks if not task.done()]

    def _on_stall(self, stalled_s: float, now_s: float) -> None:
        """Hold nothing against others that happened while this process stood still: nobody could be heard."""
        if stalled_s > MAX_LATE_TICKS * BLOCK_SECONDS:
            log.warning("this process stood still for %.1f s; the stations go on where they would be now", stalled_s)
        self._heard_s = now_s
        for station in self.stations.values():
            station.idle_since_s += stalled_s

    def _on_tick(self, tick: int) -> None:
        for station in self.stations.values():
            station.on_tick(tick)


def _settle(answer: asyncio.Future[Any] | None, result: Any) -> None:
    """Give a waiting future its result or error, unless it has been given up."""
    if answer is None or answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
