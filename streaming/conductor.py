"""Keeps the stations: opens and closes them, and carries controls to the engine that plays them.

In: openings and controls; out: `Station`s and acks. Remembers the stations and the engines. Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from engine.audio import BLOCK_SECONDS
from moods.control import parse_control, parse_opening
from streaming import protocol
from streaming.config import Config
from streaming.engines.link import Link
from streaming.engines.local import LocalEngine
from streaming.errors import EngineUnavailable, TooManyStations, UnknownStation
from streaming.feed import Feeds
from streaming.journal import about
from streaming.metrics import Metrics
from streaming.pacing import MAX_LATE_TICKS, pace, time_of
from streaming.session import DELETED, IDLE, LOST, SHUT_DOWN, Ending
from streaming.station import Station

log = logging.getLogger(__name__)

_WATCH_S = 0.25
_FULL_LOAD = 0.9


class Conductor:
    """All stations of a server, and its engine. Use as `async with Conductor(config)`.

    Entering raises `EngineFailed` where the engine cannot start at all.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.stations: dict[str, Station] = {}
        self._num_opening = 0
        self._link: Link
        self._tasks: list[asyncio.Task[None]] = []

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._filler_thread = ThreadPoolExecutor(1, "filler")
        self._feeds = Feeds(self.metrics, self.config.opus_bit_rate, self._filler_thread)
        self._link = LocalEngine(self.config, self.metrics, self._on_lost)
        try:
            await self._link.start()
        except BaseException:
            await self.stop()
            raise
        self._tasks = [asyncio.create_task(pace(self._feeds.on_tick)), asyncio.create_task(self._watch())]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close all stations and end the engine; again is no harm."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for station in list(self.stations.values()):
            self.close_station(station, SHUT_DOWN)
        await self._link.stop()
        await asyncio.to_thread(self._filler_thread.shutdown)

    @property
    def is_ready(self) -> bool:
        """The engine takes work."""
        return self._link.is_ready

    # --- stations ----------------------------------------------------------------------------------------------------

    async def open_station(self, opening: Any) -> Station:
        """Open a station from the body of a POST; it plays when this returns.

        Raises `MoodsError`, `TooManyStations`, `EngineUnavailable`.
        """
        parsed = parse_opening(opening)
        if len(self.stations) + self._num_opening >= self.config.max_stations:
            raise TooManyStations(self.config.max_stations)
        link = self._link
        if not link.is_ready:
            raise EngineUnavailable("the engine is restarting; try again in a few seconds")
        if link.load > _FULL_LOAD:
            raise EngineUnavailable(f"the engine is {link.load:.0%} busy with {len(self.stations)} stations; try later")
        seed = parsed.seed if parsed.seed is not None else secrets.randbits(53)  # JavaScript keeps 53 bits
        station = Station(secrets.token_hex(6), dict(opening), seed, link, self._feeds)
        self._num_opening += 1
        try:
            await link.open(station)
        except BaseException:
            station.close(LOST)
            raise
        finally:
            self._num_opening -= 1
        self.stations[station.id] = station
        self.metrics.stations.set(len(self.stations))
        facts = about(station=station.id, name=parsed.name, mood=parsed.mood, prompt=parsed.prompt, seed=seed)
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
        seconds = round(station.position()["seconds"])
        facts = about(station=station.id, seconds=seconds, underruns=station.num_underruns, reason=ending.reason)
        log.info("station closed", extra=facts)
        station.close(ending)
        self._link.close(station.id)
        self.metrics.stations.set(len(self.stations))

    async def control(self, station: Station, message: Any) -> protocol.Event:
        """Apply a control and answer its ack.

        Raises `MoodsError`, `UnknownStation`, `ControlRefused`, `EngineUnavailable`.
        """
        if self.stations.get(station.id) is not station:
            raise UnknownStation(station.id)
        parse_control(message)
        received_s = time.monotonic()
        applied = await self._link.apply(station.id, message)
        if station.first_tick is None:
            raise UnknownStation(station.id)
        leaves_s = max(time.monotonic(), time_of(station.first_tick + applied.entry.block))
        # From the control's arrival to the departure of the first packet that it can change.
        latency_ms = (leaves_s - received_s) * 1000
        self.metrics.control_latency_ms.observe(latency_ms)
        return applied.ack | {"latency_ms": round(latency_ms, 1), "lead_ms": station.link.lead_ms}

    def _on_lost(self, station_id: str) -> None:
        if station_id in self.stations:
            self.close_station(self.stations[station_id], LOST)

    # --- the clock ---------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look after the engine; close stations that nobody wants."""
        checked_s = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_S)
            now_s = time.monotonic()
            if (stalled_s := now_s - checked_s - _WATCH_S) > _WATCH_S:
                self._on_stall(stalled_s, now_s)
            checked_s = now_s
            self._link.watch(now_s)
            self.metrics.engine_load.set(self._link.load)
            if self.config.idle_close_s:
                for station in list(self.stations.values()):
                    if station.is_idle and now_s - station.idle_since_s > self.config.idle_close_s:
                        self.close_station(station, IDLE)

    def _on_stall(self, stalled_s: float, now_s: float) -> None:
        """Hold nothing against others that happened while this process stood still: nobody could be heard."""
        if stalled_s > MAX_LATE_TICKS * BLOCK_SECONDS:
            log.warning("this process stood still for %.1f s; the stations go on where they would be now", stalled_s)
        self._link.excuse(now_s)
        for station in self.stations.values():
            station.idle_since_s += stalled_s
