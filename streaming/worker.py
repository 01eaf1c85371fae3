"""The engine process: one loop that makes every station's blocks just ahead of their deadlines.

In: requests on a pipe; out: rings, reports. Remembers the generator and a performance for each station. The loop's
thread alone touches generator, performances and pipe; a pool of two threads encodes, writes rings and keeps snapshots.
Started by the conductor by way of `undersong_launch`; it ends when the front process does, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import shutil
import signal
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS, CHANNELS
from engine.backends import find_factory
from engine.compile import reported_to
from engine.config import EngineConfig
from engine.errors import EngineError
from engine.generator import Generator
from engine.performance import Performance, step
from engine.take import Entry, Skip
from moods.control import parse_control, parse_opening
from moods.errors import MoodsError
from streaming.config import Config
from streaming.encoders.opus import OpusEncoder
from streaming.engines.publisher import Publisher, read_snapshot
from streaming.engines.told import ack_message, event_message, mood_message, status_message
from streaming.engines.wire import (
    Applied,
    Apply,
    Close,
    Compiling,
    Failed,
    Happened,
    Health,
    Kept,
    Open,
    Opened,
    Pipe,
    Ready,
    Refused,
)
from streaming.journal import open_journal
from streaming.pacing import MAX_LATE_TICKS, prefer_to_others, tick_at, time_of
from streaming.protocol import LogEntry, problem_of
from streaming.scratch import ring_path, snapshot_path

log = logging.getLogger("streaming.worker")

HEALTH_S = 0.2
STATUS_S = 1.0
COMPLAIN_S = 10.0
PRIMING_TICKS = 54
"""A block this many ticks late is still published: some listeners hear the station a second later, and an encoder has
to be primed. An older one is only stepped over."""
_CATCH_UP_S = 10.0
"""How long a station that was brought back may chase them to return where it would have been."""
_MAX_WAIT_S = 0.1
_WARM_UP_BLOCKS = 50


@dataclass(slots=True)
class _Station:
    """A station as the loop sees it."""

    id: str
    performance: Performance
    publisher: Publisher
    first_tick: int
    is_behind: bool
    """Brought back and not yet where it would have been: new controls wait, they belong to the present."""
    chased_until_s: float
    next_status_s: float
    next_keep_s: float
    is_told_sounding: bool = True
    """Whether it sounded at the last status."""

    @property
    def due_tick(self) -> int:
        return self.first_tick + self.performance.next_block

    def status(self) -> Happened:
        self.is_told_sounding = self.performance.is_sounding
        return Happened(self.id, status_message(self.performance))


class Worker:
    """Serves one front process over `pipe` until it closes."""

    def __init__(self, generator: Generator, config: Config, pipe: Pipe, folder: Path) -> None:
        """Rings and snapshots lie in `folder`."""
        self._generator, self._config, self._pipe, self._folder = generator, config, pipe, folder
        self._lead_s = config.lead_ms / 1000
        self._room = select.poll()
        self._room.register(pipe.fileno(), select.POLLOUT)
        self._stations: dict[str, _Station] = {}
        self._free_slots = deque(range(config.max_stations))
        self._pool = ThreadPoolExecutor(2, "publish")
        self._publishing: list[Future[None]] = []
        self._keeping: dict[str, Future[None]] = {}
        self._reports: deque[Kept] = deque()  # from pool threads; the loop sends them
        self._step_ms: deque[float] = deque(maxlen=1000)
        self._late_blocks = 0
        self._told = dict(generator.counters())
        self._busy_s = 0.0
        self._health_at_s = time.monotonic()
        self._deferred: list[Apply] = []
        self._skipped_s, self._may_complain_at_s = 0.0, 0.0

    def run(self) -> None:
        """Work until the front closes the pipe."""
        try:
            self._pipe.send(Ready())
            while True:
                self._drain()
                self._make_due_blocks()
                self._keep_house()
        except (EOFError, ConnectionError):
            log.debug("the front process has gone")
        finally:
            self._pool.shutdown(wait=True)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Handle all requests there are, waiting for them no longer than until the next block is due."""
        due = min((time_of(station.due_tick) for station in self._stations.values()), default=float("inf"))
        wait_s = min(_MAX_WAIT_S, due - self._lead_s - time.monotonic())
        while self._pipe.poll(max(0.0, wait_s)):
            sent_s, request = self._pipe.receive()
            if isinstance(request, Open):
                self._open(request, sent_s)
            elif isinstance(request, Apply):
                self._apply(request)
            else:
                assert isinstance(request, Close), request
                self._close(request.station)
            wait_s = 0.0

    def _open(self, request: Open, sent_s: float) -> None:
        slot = self._free_slots.popleft()
        try:
            station = self._enter(slot, request, sent_s)
        except (MoodsError, OSError) as error:
            self._free_slots.append(slot)
            if isinstance(error, MoodsError):
                problem = problem_of(error)
            else:
                problem = {"code": "engine_unavailable", "detail": str(error)}
            self._pipe.send(Refused(request.station, None, problem))
            return
        self._stations[request.station] = station
        now_s = time.monotonic()
        due_in_s = time_of(station.first_tick) - now_s
        self._pipe.send(Opened(request.station, due_in_s, status_message(station.performance)), now_s)

    def _enter(self, slot: int, request: Open, sent_s: float) -> _Station:
        """Begin a performance, or bring one back. Raises `MoodsError` and OSError, and leaves the slot empty."""
        opening, resume = parse_opening(request.opening), request.resume
        path = snapshot_path(self._folder, request.station)
        publisher = Publisher(ring_path(self._folder, request.station), path, self._config.opus_bit_rate)
        snapshot = read_snapshot(path) if resume is not None else None
        if snapshot is None:
            performance = Performance(self._generator, slot, opening, request.seed)
        else:
            performance = Performance.restore(self._generator, slot, opening, snapshot)
        now_s = time.monotonic()
        if resume is None:
            first_tick = tick_at(now_s + self._lead_s) + 1
        else:
            first_tick = round((sent_s + resume.due_in_s) / BLOCK_SECONDS)
            performance.replay(map(_entry_of, resume.log))
        return _Station(
            request.station,
            performance,
            publisher,
            first_tick,
            is_behind=resume is not None,
            chased_until_s=now_s + _CATCH_UP_S,
            next_status_s=now_s,
            # The first snapshot comes early, then they are spread by the moments at which stations opened.
            next_keep_s=now_s + min(1.0, self._config.snapshot_s),
        )

    def _apply(self, request: Apply) -> None:
        station = self._stations.get(request.station)
        if station is None:
            return
        if station.is_behind:
            self._deferred.append(request)
            return
        performance = station.performance
        entry = LogEntry(performance.num_controls, performance.next_block, request.control)
        try:
            control = parse_control(request.control)
            ack = ack_message(performance.apply(control), control)
        except MoodsError as error:
            self._pipe.send(Refused(request.station, request.request, problem_of(error)))
            return
        self._pipe.send(Applied(request.station, request.request, entry, ack, mood_message(performance.heading())))
        self._announce(station)

    def _apply_deferred(self) -> None:
        requests, self._deferred = self._deferred, []
        for request in requests:
            self._apply(request)

    def _close(self, station_id: str) -> None:
        station = self._stations.pop(station_id, None)
        if station is None:
            return
        wait(self._publishing)
        if station_id in self._keeping:
            wait([self._keeping.pop(station_id)])
        station.performance.close()
        station.publisher.close()
        self._free_slots.append(station.performance.slot)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _make_due_blocks(self) -> None:
        """Make one block of every station that is due; stations that lag are due again at once."""
        begun_s = time.monotonic()
        due = [each for each in self._stations.values() if time_of(each.due_tick) - self._lead_s <= begun_s]
        if not due:
            return
        self._skip_what_is_lost(due, tick_at(begun_s))
        for station in due:
            self._announce(station)
        sounds = step(self._generator, [station.performance for station in due])
        wait(self._publishing)
        for future in self._publishing:
            future.result()
        self._publishing.clear()
        live_tick = tick_at(time.monotonic())
        for station, sound in zip(due, sounds, strict=True):
            tick, number = station.due_tick - 1, station.performance.next_block - 1
            if tick >= live_tick - PRIMING_TICKS:
                self._publishing.append(self._pool.submit(station.publisher.publish, number, sound.pcm))
            if station.is_behind and tick >= live_tick:
                station.is_behind = False
                self._apply_deferred()
        ended_s = time.monotonic()
        self._late_blocks += sum(time_of(station.due_tick - 1) < ended_s for station in due)
        self._step_ms.append((ended_s - begun_s) * 1000)
        slots = [station.performance.slot for station in due if station.performance.is_sounding]
        for _ in slots:
            if not self._generator.work(slots):
                break
        self._busy_s += time.monotonic() - begun_s

    def _skip_what_is_lost(self, due: list[_Station], live_tick: int) -> None:
        """A station that is too late does not chase its listeners, as making every missed block would be late for ever:
        it leaves out what was missed and goes on from there."""
        for station in due:
            lag = live_tick - station.due_tick
            is_chasing = station.is_behind and time.monotonic() < station.chased_until_s
            if lag > MAX_LATE_TICKS and not is_chasing:
                self._skipped_s += lag * BLOCK_SECONDS
                performance = station.performance
                place = {"frame": performance.next_block * BLOCK_FRAMES, "index": performance.num_controls}
                performance.skip(lag)
                self._pipe.send(Happened(station.id, {"type": "skip", "blocks": lag, **place}))

    def _is_heard(self) -> bool:
        """Whether the front reads what it is told. The music does not wait for one that stands still."""
        return bool(self._room.poll(0))

    def _announce(self, station: _Station) -> None:
        """Send the events that are not yet past; after a recovery some are."""
        if not self._is_heard():
            return
        play_head = (tick_at(time.monotonic()) - station.first_tick) * BLOCK_FRAMES
        for event in station.performance.announcements():
            if event.at.frame >= play_head - BLOCK_FRAMES:
                self._pipe.send(Happened(station.id, event_message(event)))

    # --- house keeping -----------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        if not self._is_heard():
            return
        now_s = time.monotonic()
        for station in self._stations.values():
            if now_s >= station.next_status_s or station.performance.is_sounding != station.is_told_sounding:
                station.next_status_s = now_s + STATUS_S
                self._pipe.send(station.status())
        # One snapshot a pass: copying the state must not make the next blocks late.
        next_kept = min(self._stations.values(), key=lambda station: station.next_keep_s, default=None)
        if next_kept is not None and now_s >= next_kept.next_keep_s:
            next_kept.next_keep_s = now_s + self._config.snapshot_s
            self._keep(next_kept)
        while self._reports:
            self._pipe.send(self._reports.popleft())
        if self._skipped_s and now_s >= self._may_complain_at_s:
            text = "too slow for %d stations, or stopped for a while: %.1f s left out of the streams"
            log.warning(text, len(self._stations), self._skipped_s)
            self._skipped_s, self._may_complain_at_s = 0.0, now_s + COMPLAIN_S
        if now_s - self._health_at_s >= HEALTH_S:
            load = min(1.0, self._busy_s / (now_s - self._health_at_s))
            counted = dict(self._generator.counters())
            grown = {name: count - self._told.get(name, 0) for name, count in counted.items()}
            lead_ms = round(self._lead_s * 1000, 1)
            self._pipe.send(Health(load, tuple(self._step_ms), self._late_blocks, grown, lead_ms))
            self._step_ms.clear()
            self._told = counted
            self._late_blocks, self._busy_s, self._health_at_s = 0, 0.0, now_s

    def _keep(self, station: _Station) -> None:
        previous = self._keeping.get(station.id)
        if previous is not None and not previous.done():
            return
        if previous is not None:
            previous.result()
        kept = Kept(station.id, station.performance.num_controls)
        station.performance.forget()
        snapshot = station.performance.snapshot()
        self._keeping[station.id] = self._pool.submit(
            station.publisher.keep, snapshot, lambda: self._reports.append(kept)
        )


def _entry_of(entry: LogEntry) -> Entry:
    message = entry.control
    control = Skip(message["blocks"]) if message["type"] == "skip" else parse_control(message)
    return Entry(entry.index, entry.block, control)


def _load_generator(config: Config) -> Generator:
    engine_config = EngineConfig(
        backend=config.backend, device=config.device, max_slots=config.max_stations,
        patches=Path(config.patches) if config.patches else None,
    )  # fmt: skip
    return find_factory(config.generator)(engine_config)


def warm_up(generator: Generator) -> None:
    """Go once through all that a station does, so that whatever compiles or loads lazily does so before a deadline."""
    opening = parse_opening({"mood": "epic"})
    performance = Performance(generator, 0, opening, 0)
    for block in range(_WARM_UP_BLOCKS):
        step(generator, [performance])
        if block == _WARM_UP_BLOCKS // 2:
            performance.apply(parse_control({"type": "steer", "set": {"energy": 0.2}, "at": "beat"}))
    snapshot = performance.snapshot()
    performance.close()
    performance = Performance.restore(generator, 0, opening, snapshot)
    step(generator, [performance])
    performance.close()
    OpusEncoder().encode(np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))


def _end_with_parent(parent: int, runtime_folder: Path) -> None:
    """The front may be killed while the loop is deep in a compiler: then nobody reads the pipe."""
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(runtime_folder, ignore_errors=True)
    os._exit(0)


def main(descriptor: str) -> int:
    """Run the engine process over the inherited socket `descriptor`.

    The first message holds config, runtime folder and the front's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front ends us in its own time
    prefer_to_others()
    pipe = Pipe(int(descriptor))
    _, (config, runtime_folder, parent) = pipe.receive()
    open_journal(config.log_level, config.log_json)
    threading.Thread(target=_end_with_parent, args=(parent, runtime_folder), daemon=True).start()

    def report(done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # a front that has gone is noticed elsewhere
            pipe.send(Compiling(done, total))

    try:
        with reported_to(report):
            generator = _load_generator(config)
        warm_up(generator)
    except EngineError as error:
        pipe.send(Failed(str(error)))
        return 1
    gc.collect()
    gc.freeze()  # what was loaded stays: collecting it again and again would only stall the loop
    Worker(generator, config, pipe, runtime_folder).run()
    shutil.rmtree(runtime_folder, ignore_errors=True)  # the front does it too, unless it was killed
    return 0
