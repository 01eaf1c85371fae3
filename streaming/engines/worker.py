"""One loop that makes every station's blocks just ahead of their deadlines.

In: requests on a pipe; out: rings, reports. Remembers the generator and a performance for each station. The loop's
thread alone touches generator, performances and pipe; other threads encode and write rings, and keep snapshots.

Every pass of the loop does one thing: requests first, then the blocks that are due, and only where none is, one small
piece of what can wait: catching up, opening, composing ahead, snapshots. `streaming.engines.schedule` decides.
"""

from __future__ import annotations

import itertools
import logging
import math
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS
from engine.errors import BadTake
from engine.generator import Generator
from engine.performance import Performance, Sound, step
from engine.take import Act, Entry, Rest, Resume
from moods.errors import MoodsError
from streaming.config import Config
from streaming.engines.publisher import Publisher
from streaming.engines.schedule import (
    JUDGE_S,
    Burden,
    Lead,
    Tally,
    due,
    next_behind,
    next_due_s,
    who_comes_back,
    who_gives_way,
)
from streaming.engines.snapshots import maker_of, read_snapshot, write_snapshot
from streaming.engines.told import effect_message, event_message, lead_in_ms, mood_message, playing_message
from streaming.engines.wire import (
    Applied,
    Apply,
    Close,
    Copied,
    Copy,
    Fade,
    Faded,
    GaveWay,
    Happened,
    Health,
    Heard,
    Kept,
    LeftOut,
    Open,
    Opened,
    Pipe,
    Plays,
    Ready,
    Refused,
    Request,
    Sleep,
    Slept,
)
from streaming.errors import EngineUnavailable
from streaming.journal import about
from streaming.pacing import MAX_LATE_TICKS, tick_at, time_of
from streaming.scratch import ring_path, sleeper_path, snapshot_path

log = logging.getLogger(__name__)

HEALTH_S = 0.2
STATUS_S = 1.0
COMPLAIN_S = 10.0
MAX_PUBLISHED_LATE_TICKS = 54
"""An older block is not published any more: a listener who hears the station a second later would miss it too."""
_CATCH_UP_S = 10.0
"""How long a station that was brought back may chase its listeners to return where it would have been."""
_MAX_WAIT_S = 0.1
_DRAIN_S = 0.002
"""How long requests may keep the loop from making blocks."""
_ROOM_S = 0.005
"""What is copied or read in one go, an opening or a snapshot, is begun only so long before the next block is due …"""
_PATIENCE_S = 0.5
"""… unless it has waited so long already."""
_PUBLISH_S = 0.003
"""A first block is sent so long after it was made at the earliest."""
_AHEAD_S = 20.0
"""Over how long it is measured what composing ahead takes."""
_NUM_PUBLISHERS = 2
_MAX_UNPUBLISHED = 16


@dataclass(slots=True, eq=False)
class _Station:
    """A station that has a slot: a `Turn` of the schedule."""

    id: str
    order: int
    performance: Performance
    publisher: Publisher
    is_heard: bool
    is_behind: bool
    """Brought back and not yet where it would have been, or something is still to be done to it again: new controls
    wait, they belong to the present."""
    since_s: float
    next_keep_s: float
    next_status_s: float
    ahead_blocks: int = 0
    first_tick: int = 0
    """The tick of block 0, once its clock runs."""
    is_told_sounding: bool = True
    """Whether it sounded at the last status."""
    is_being_kept: bool = False
    fade: Fade | None = None
    """It has been asked to fade out."""
    fades_from: int | None = None
    """The first block that does."""

    @property
    def due_tick(self) -> int:
        return self.first_tick + self.performance.next_block

    @property
    def is_resting(self) -> bool:
        return self.performance.is_resting

    def next_entry(self, act: Act) -> Entry:
        """How what is done to it now stands in its log."""
        return Entry(self.performance.num_controls, self.performance.next_block, act)


@dataclass(slots=True)
class _Opening:
    """A station that is to be opened: first it waits for its turn, then its first beat is composed."""

    request: Open
    asked_s: float
    sent_s: float
    station: _Station | None = None

    @property
    def num_missing(self) -> int:
        """Blocks to be made before the one with which it is to go on: what was kept of it is older."""
        if self.station is None or self.request.resume is None or self.request.resume.due_in_s is not None:
            return 0
        return max(0, self.request.resume.next_block - self.station.performance.next_block)


@dataclass(frozen=True, slots=True)
class _StillAwake:
    """A station that should sleep could not be written."""

    station: str
    why: str


_Job = tuple[Publisher, int, npt.NDArray[np.float32], float | None, float]
"""A block to be published: by whom, its number, its samples, when it could have been begun, when it is due."""


def _falling(block: int, num_blocks: int) -> npt.NDArray[np.float32]:
    """Gain of one block, [960, 1], of a raised cosine that falls over `num_blocks`; silence after them."""
    frames = block * BLOCK_FRAMES + np.arange(BLOCK_FRAMES) + 0.5
    phase = np.pi * np.minimum(1.0, frames / (num_blocks * BLOCK_FRAMES))
    return (0.5 + 0.5 * np.cos(phase)).astype(np.float32)[:, None]


class Worker:
    """Serves one server process over `pipe` until it closes."""

    def __init__(self, generator: Generator, config: Config, pipe: Pipe, folder: Path, sleepers_folder: Path) -> None:
        """Rings and snapshots lie in `folder`; what sleeps, in `sleepers_folder`."""
        self._generator, self._config, self._pipe = generator, config, pipe
        self._folder, self._sleepers_folder = folder, sleepers_folder
        self._is_lasting = sleepers_folder == config.stations_folder
        """What sleeps there outlasts the server, and what plays is kept there too."""
        self._maker = maker_of(generator.traits)
        self._lead = Lead(config.lead_ms / 1000)
        self._burden = Burden(time.monotonic())
        self._room = select.poll()
        self._room.register(pipe.fileno(), select.POLLOUT)
        self._stations: dict[str, _Station] = {}
        self._openings: dict[str, _Opening] = {}
        self._leaving: dict[str, _Station] = {}
        """On their way to sleep: copied, and being written."""
        self._deferred: list[Apply | Copy] = []
        self._orders = itertools.count()
        self._free_slots = list(reversed(range(generator.max_slots)))
        """The one that was left last is taken first: memory that no slot has used yet stays untouched."""
        # What one station publishes stays in order, as each has but one thread.
        self._publishers = [ThreadPoolExecutor(1, "publish") for _ in range(_NUM_PUBLISHERS)]
        self._keeper = ThreadPoolExecutor(1, "keep")
        self._unpublished: deque[Future[None]] = deque()
        self._published: deque[tuple[float, float, float, float]] = deque()
        """Of blocks, from the publishing threads: when each could have been begun, was due, began to be encoded, was
        ready."""
        self._written: deque[Kept | Slept | Copied | Refused | _StillAwake] = deque()
        """From the keeping thread: what lies on the disk, or does not fit there."""
        self._can_sleep = True
        """The last station that was put to sleep fitted on the disk; said once when that changes."""
        self._tally = Tally(time.monotonic())
        """Since it was last judged whether there is too much to do."""
        self._health = Tally(self._tally.since_s)
        """The same since the last report."""
        self._told = dict(generator.counters())
        self._in_turn = deque([self._catch_up, self._work_ahead, self._return])
        self._ahead_load = 0.0
        """Share of the time that composing ahead takes in the long run."""
        self._skipped_s, self._may_complain_at_s = 0.0, 0.0

    def run(self) -> None:
        """Work until the server process closes the pipe."""
        is_idle = False
        try:
            self._pipe.send(Ready(self._generator.traits))
            while True:
                self._drain(is_idle)
                is_idle = not (self._make_due_blocks() or self._use_spare_time())
                self._take_in_what_is_done()
                self._keep_house()
        except (EOFError, ConnectionError):
            log.debug("the server process has gone")
        finally:
            if self._is_lasting:
                self._keep_all()
            for pool in (*self._publishers, self._keeper):
                pool.shutdown(wait=True)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _drain(self, is_idle: bool) -> None:
        """Handle the requests there are; an idle engine waits for them until the next block is due."""
        begun_s = time.monotonic()
        next_s = next_due_s(self._stations.values(), self._lead)
        wait_s = max(0.0, min(_MAX_WAIT_S, next_s - begun_s)) if is_idle else 0.0
        is_there = self._pipe.poll(wait_s)
        handled_s = time.monotonic()
        self._health.idle_s += handled_s - begun_s
        self._tally.idle_s += handled_s - begun_s
        while is_there:
            sent_s, request = self._pipe.receive()
            self._handle(request, sent_s)
            is_there = time.monotonic() - handled_s < _DRAIN_S and self._pipe.poll(0.0)

    def _handle(self, request: Request, sent_s: float) -> None:
        match request:
            case Open(station=station_id):
                self._openings[station_id] = _Opening(request, time.monotonic(), sent_s)
            case Apply() | Copy():
                self._take_up(request)
            case Close(station=station_id):
                self._close(station_id)
            case Heard(station=station_id, is_heard=is_heard):
                if (station := self._stations.get(station_id) or self._leaving.get(station_id)) is not None:
                    station.is_heard = is_heard
                elif station_id in self._openings:
                    self._set_heard(self._openings[station_id], is_heard)
            case Fade(station=station_id):
                if station_id in self._stations:
                    self._stations[station_id].fade = request
            case Sleep(station=station_id):
                if station_id in self._stations:
                    self._put_to_sleep(self._stations[station_id])

    @staticmethod
    def _set_heard(opening: _Opening, is_heard: bool) -> None:
        opening.request = replace(opening.request, is_heard=is_heard)
        if opening.station is not None:
            opening.station.is_heard = is_heard

    def _take_up(self, request: Apply | Copy) -> None:
        """Do it now, or as soon as the station plays."""
        station = self._stations.get(request.station)
        if station is None or station.is_behind:
            if station is not None or request.station in self._openings or request.station in self._leaving:
                self._deferred.append(request)
        elif isinstance(request, Apply):
            self._apply(station, request)
        else:
            self._copy(station, request)

    def _apply(self, station: _Station, request: Apply) -> None:
        entry = station.next_entry(request.control)
        try:
            ack = station.performance.apply(request.control)
        except MoodsError as error:
            self._pipe.send(Refused(request.station, request.request, error.code, str(error), error.members))
            return
        except Exception:  # a fault of ours in one control is no reason to end the music of all stations
            log.exception("a control cannot be applied", extra=about(station=station.id))
            why = "the engine cannot apply this control; its log says why"
            self._pipe.send(Refused(request.station, request.request, EngineUnavailable.code, why, {}))
            return
        effect, performance = effect_message(ack, self._lead.seconds), station.performance
        heading, volume_db = mood_message(performance.heading()), performance.controller.volume_db
        self._pipe.send(Applied(request.station, request.request, entry, effect, heading, volume_db, ack.is_idle))
        self._announce(station)

    def _apply_deferred(self) -> None:
        requests, self._deferred = self._deferred, []
        for request in requests:
            self._take_up(request)

    def _copy(self, station: _Station, request: Copy) -> None:
        performance = station.performance
        copied = Copied(station.id, request.request, performance.next_block, performance.num_controls, request.copy)
        self._keeper.submit(self._write_copy, performance.snapshot(), copied)

    def _close(self, station_id: str) -> None:
        opening = self._openings.pop(station_id, None)
        entered = opening.station if opening is not None else None
        station = entered or self._stations.pop(station_id, None) or self._leaving.pop(station_id, None)
        self._deferred = [request for request in self._deferred if request.station != station_id]
        if station is not None:
            self._leave(station)
            self._keeper.submit(station.publisher.forget)

    def _lose(self, station: _Station, why: str) -> None:
        """Give up a station that cannot be brought back."""
        self._close(station.id)
        self._pipe.send(Refused(station.id, None, EngineUnavailable.code, why, {}))

    def _leave(self, station: _Station) -> None:
        """Free the slot; what is still to be published is."""
        station.performance.close()
        self._free_slots.append(station.performance.slot)
        self._publisher_of(station).submit(station.publisher.close)

    # --- opening -----------------------------------------------------------------------------------------------------

    def _open_next(self, spare_s: float) -> bool:
        """Give the station that has waited longest for it a slot."""
        opening = next((each for each in self._openings.values() if each.station is None), None)
        if opening is None or not self._free_slots:
            return False
        if spare_s < _ROOM_S and time.monotonic() - opening.asked_s < _PATIENCE_S:
            return False
        slot = self._free_slots.pop()
        try:
            opening.station = station = self._enter(slot, opening.request, opening.sent_s)
        except (MoodsError, BadTake, OSError) as error:
            self._free_slots.append(slot)
            del self._openings[opening.request.station]
            code = error.code if isinstance(error, MoodsError) else EngineUnavailable.code
            self._pipe.send(Refused(opening.request.station, None, code, str(error), {}))
            return True
        if station.is_behind:  # its clock has been running all the time
            self._begin(station)
        return True

    def _enter(self, slot: int, request: Open, sent_s: float) -> _Station:
        """Begin a station, or bring one back. Raises `MoodsError`, `BadTake` and OSError, and leaves the slot empty."""
        resume, kept_path = request.resume, snapshot_path(self._folder, request.station)
        asleep_path = sleeper_path(self._sleepers_folder, request.station)
        publisher = Publisher(
            ring_path(self._folder, request.station), kept_path, self._config.opus_bit_rate,
            self._maker, asleep_path if self._is_lasting else None,
        )  # fmt: skip
        try:
            performance = self._perform(slot, request, kept_path, asleep_path)
        except BaseException:
            publisher.close()
            raise
        now_s = time.monotonic()
        station = _Station(
            request.station, next(self._orders), performance, publisher, request.is_heard,
            is_behind=resume is not None and resume.due_in_s is not None, since_s=now_s, next_status_s=now_s,
            # The first snapshot comes early, then they are spread by the moments at which stations opened.
            next_keep_s=now_s + min(1.0, self._config.snapshot_s), ahead_blocks=request.ahead_blocks,
        )  # fmt: skip
        if resume is not None and resume.due_in_s is not None:
            station.first_tick = round((sent_s + resume.due_in_s) / BLOCK_SECONDS)
        return station

    def _perform(self, slot: int, request: Open, kept_path: Path, asleep_path: Path) -> Performance:
        """Begin a performance, or go on with the one that was kept. Raises as `_enter` does."""
        resume = request.resume
        if resume is None:
            return Performance(self._generator, slot, request.opening, request.seed)
        # One that has woken, and has not been kept since, is still kept as it slept.
        snapshot = read_snapshot(kept_path, self._maker) or read_snapshot(asleep_path, self._maker)
        if snapshot is not None:
            performance = Performance.restore(self._generator, slot, request.opening, snapshot)
        elif resume.due_in_s is not None or resume.is_whole:
            num_forgotten = resume.log[0].index if resume.log else 0
            performance = Performance(self._generator, slot, request.opening, request.seed, num_forgotten=num_forgotten)
        else:
            raise FileNotFoundError(f"{asleep_path} is not there any more")
        try:
            performance.replay(resume.log)
        except BadTake:
            performance.close()
            raise
        return performance

    def _begin_next(self, is_ready: Callable[[int], bool]) -> bool:
        """Let the clock run of the station that has waited longest, of those whose slot is ready."""
        for opening in self._openings.values():
            station = opening.station
            if station is not None and not opening.num_missing and is_ready(station.performance.slot):
                if (sound := self._step_alone(station)) is None:
                    return True
                station.since_s = time.monotonic()
                num_ahead = station.performance.next_block - 1 + station.ahead_blocks
                station.first_tick = tick_at(station.since_s + _PUBLISH_S) + 1 - num_ahead
                station.is_behind = station.performance.is_replaying or station.ahead_blocks > 0
                self._publish([station], [sound], [None])
                self._begin(station)
                return True
        return False

    def _begin(self, station: _Station) -> None:
        """It plays from now on."""
        del self._openings[station.id]
        self._stations[station.id] = station
        now_s = time.monotonic()
        playing = playing_message(station.performance)
        self._pipe.send(Opened(station.id, time_of(station.first_tick) - now_s, playing), now_s)
        if station.is_resting and not station.is_behind:  # it fell asleep resting, and whoever wakes it is to hear it
            self._give_way(station, is_resting=False)
        self._apply_deferred()

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _make_due_blocks(self) -> bool:
        """Make a block of each station of which one is due first; whether there were any."""
        begun_s = time.monotonic()
        stations = due(self._stations.values(), self._lead, begun_s)
        if not stations:
            return False
        for station in stations:
            lag = tick_at(begun_s) - station.due_tick
            if lag > MAX_LATE_TICKS:
                self._leave_out(station, lag)
                self._tally.num_left_out += lag
            self._begin_fade(station)
            self._announce(station)
        could_begin_s = [self._lead.could_begin_s(station) for station in stations]
        sounds = step(self._generator, [station.performance for station in stations])
        self._publish(stations, sounds, could_begin_s)
        took_s = time.monotonic() - begun_s
        self._tally.due_s += took_s
        self._tally.num_blocks += sum(not station.is_resting for station in stations)
        self._health.step_ms.append(1000 * took_s)
        return True

    def _begin_fade(self, station: _Station) -> None:
        """Where its next block is to be the first that fades, tell that, and keep the station as it is."""
        fade, performance = station.fade, station.performance
        if fade is None or station.fades_from is not None or performance.next_block < fade.from_block:
            return
        station.fades_from, station.next_keep_s = performance.next_block, math.inf
        faded = Faded(station.id, fade.request, performance.next_block, performance.num_controls)
        if fade.is_kept:
            performance.forget()
            self._keeper.submit(self._write_faded, performance.snapshot(), faded)
        self._pipe.send(faded)

    def _step_alone(self, station: _Station) -> Sound | None:
        """Make a block of a station that may still have something to do again; None where that cannot be done, and the
        station is lost."""
        try:
            return step(self._generator, [station.performance])[0]
        except BadTake as error:
            self._lose(station, str(error))
            return None

    def _leave_out(self, station: _Station, lag: int) -> None:
        """A station that is too late does not chase its listeners, as making every missed block would be late for ever:
        it leaves out what was missed and goes on from there."""
        self._skipped_s += lag * BLOCK_SECONDS
        self._pipe.send(LeftOut(station.id, tuple(station.performance.leave_out(lag))))

    def _publish(self, stations: list[_Station], sounds: list[Sound], could_begin_s: Sequence[float | None]) -> None:
        """Have the blocks that were just made encoded and written; those that were made in spare time, for which no
        moment is given, say nothing of how long a block takes."""
        oldest_tick = tick_at(time.monotonic()) - MAX_PUBLISHED_LATE_TICKS
        jobs: dict[int, list[_Job]] = {}
        for station, sound, could_s in zip(stations, sounds, could_begin_s, strict=True):
            tick, number = station.due_tick - 1, station.performance.next_block - 1
            if tick >= oldest_tick - station.ahead_blocks:
                pcm = sound.pcm
                if station.fade is not None and station.fades_from is not None:
                    pcm = pcm * _falling(number - station.fades_from, station.fade.num_blocks)
                job = (station.publisher, number, pcm, could_s, time_of(tick))
                jobs.setdefault(station.order % _NUM_PUBLISHERS, []).append(job)
        for number, batch in jobs.items():
            self._unpublished.append(self._publishers[number].submit(self._publish_all, batch))

    def _publish_all(self, jobs: list[_Job]) -> None:
        """On a publishing thread."""
        for publisher, number, pcm, could_begin_s, due_s in jobs:
            begun_s = time.monotonic()
            publisher.publish(number, pcm)
            if could_begin_s is not None:
                self._published.append((could_begin_s, due_s, begun_s, time.monotonic()))

    def _publisher_of(self, station: _Station) -> ThreadPoolExecutor:
        return self._publishers[station.order % _NUM_PUBLISHERS]

    def _take_in_what_is_done(self) -> None:
        """Learn from what the other threads have done; wait for them where they are far behind."""
        while self._unpublished and (self._unpublished[0].done() or len(self._unpublished) > _MAX_UNPUBLISHED):
            self._unpublished.popleft().result()
        while self._published:
            could_begin_s, due_s, begun_s, ready_s = self._published.popleft()
            self._lead.note(ready_s - could_begin_s, ready_s)
            self._health.encode_ms.append(1000 * (ready_s - begun_s))
            for tally in (self._health, self._tally):
                tally.num_late += ready_s > due_s
                tally.lag_s = ready_s - due_s
        while self._written and self._is_read():
            self._on_written(self._written.popleft())

    # --- spare time --------------------------------------------------------------------------------------------------

    def _use_spare_time(self) -> bool:
        """One piece of what can wait, the most urgent first; False where there is nothing to do."""
        spare_s = next_due_s(self._stations.values(), self._lead) - time.monotonic()
        return (
            self._begin_next(self._generator.is_ready)
            or self._open_next(spare_s)
            or self._keep_next(spare_s)
            or self._tell_next()
            or self._compose_or_catch_up()
            or self._begin_next(lambda slot: True)
        )

    def _compose_or_catch_up(self) -> bool:
        """In turns, where there is more than one to do: neither who plays nor who opens waits until others are back."""
        self._in_turn.rotate()
        return any(do() for do in self._in_turn)

    def _catch_up(self) -> bool:
        """Bring a station that is behind a piece nearer to where it would have been."""
        station = next_behind(self._stations.values())
        if station is None:
            return False
        now_s, slot = time.monotonic(), station.performance.slot
        if now_s > station.since_s + _CATCH_UP_S and (lag := tick_at(now_s) - station.due_tick) > 0:
            self._leave_out(station, lag)
        if not self._generator.is_ready(slot) and self._generator.work([slot]):
            return True
        self._announce(station)
        if (sound := self._step_alone(station)) is None:
            return True
        self._publish([station], [sound], [None])
        if station.due_tick > tick_at(time.monotonic()) and not station.performance.is_replaying:
            station.is_behind, station.since_s = False, time.monotonic()
            self._apply_deferred()
        return True

    def _return(self) -> bool:
        """Bring a station whose clock stands a piece nearer to where it stood still."""
        opening = next((each for each in self._openings.values() if each.num_missing), None)
        if opening is None or (station := opening.station) is None:
            return False
        slot = station.performance.slot
        if time.monotonic() > station.since_s + _CATCH_UP_S:
            self._leave_out(station, opening.num_missing)
        elif self._generator.is_ready(slot) or not self._generator.work([slot]):
            self._step_alone(station)
        return True

    def _work_ahead(self) -> bool:
        begun_s = time.monotonic()
        entered = [opening.station for opening in self._openings.values() if opening.station is not None]
        playing = [each for each in self._stations.values() if each.performance.is_sounding and not each.is_behind]
        has_worked = self._generator.work([station.performance.slot for station in (*entered, *playing)])
        self._health.ahead_s += time.monotonic() - begun_s
        return has_worked

    def _tell_next(self) -> bool:
        """Send the status of a station whose last one is old."""
        station = min(self._stations.values(), key=lambda station: station.next_status_s, default=None)
        if station is None or time.monotonic() < station.next_status_s or not self._is_read():
            return False
        self._tell_status(station)
        return True

    def _keep_next(self, spare_s: float) -> bool:
        """Copy a station whose last snapshot is old, and have it written."""
        waiting = (each for each in self._stations.values() if not (each.is_being_kept or each.is_behind))
        station = min(waiting, key=lambda station: station.next_keep_s, default=None)
        now_s = time.monotonic()
        if station is None or now_s < station.next_keep_s:
            return False
        if spare_s < _ROOM_S and now_s < station.next_keep_s + _PATIENCE_S:
            return False
        station.next_keep_s, station.is_being_kept = now_s + self._config.snapshot_s, True
        kept = Kept(station.id, station.performance.num_controls)
        station.performance.forget()
        snapshot = station.performance.snapshot()
        self._keeper.submit(self._keep, station, snapshot, kept)
        return True

    def _keep(self, station: _Station, snapshot: dict[str, Any], kept: Kept) -> None:
        """On the keeping thread."""
        is_kept = station.publisher.keep(snapshot, kept.num_controls)
        station.is_being_kept = False
        if is_kept:
            self._written.append(kept)

    def _keep_all(self) -> None:
        """The server process was killed: keep what plays as it is, so that the next one has nothing to do again."""
        for station in self._stations.values():
            if station.fades_from is None:
                self._write_down(station)

    # --- sleeping and giving way -------------------------------------------------------------------------------------

    def _put_to_sleep(self, station: _Station) -> None:
        """It plays no more; when it lies on the disk its slot is free."""
        if station.is_behind:
            return
        self._leaving[station.id] = self._stations.pop(station.id)
        station.performance.forget()
        self._write_down(station)

    def _write_down(self, station: _Station) -> None:
        performance = station.performance
        slept = Slept(station.id, performance.next_block, performance.num_controls)
        published = self._publisher_of(station).submit(lambda: None)
        self._keeper.submit(self._write_sleeper, performance.snapshot(), slept, published)

    def _write_sleeper(self, snapshot: dict[str, Any], slept: Slept, published: Future[None]) -> None:
        """On the keeping thread. Its last block is there before anybody knows that it sleeps."""
        published.result()
        why = self._write_asleep(slept.station, snapshot, slept.num_controls)
        self._written.append(slept if why is None else _StillAwake(slept.station, why))

    def _write_copy(self, snapshot: dict[str, Any], copied: Copied) -> None:
        """On the keeping thread."""
        why = self._write_asleep(copied.copy, snapshot, copied.num_controls)
        refused = Refused(copied.station, copied.request, EngineUnavailable.code, f"it cannot be kept: {why}", {})
        self._written.append(copied if why is None else refused)

    def _write_faded(self, snapshot: dict[str, Any], faded: Faded) -> None:
        """On the keeping thread. Where it does not fit on the disk the next server makes the music anew."""
        if (why := self._write_asleep(faded.station, snapshot, faded.num_controls)) is not None:
            log.warning("a station cannot be kept where it fades out: %s", why, extra=about(station=faded.station))

    def _write_asleep(self, station_id: str, snapshot: dict[str, Any], num_controls: int) -> str | None:
        """Why it does not lie on the disk; None where it does."""
        path = sleeper_path(self._sleepers_folder, station_id)
        try:
            path.parent.mkdir(0o700, exist_ok=True)  # who cleans up temporary files may have removed it
            write_snapshot(path, snapshot, self._maker, num_controls, is_lasting=self._is_lasting)
        except Exception as error:  # what a generator copies may be anything
            return f"{path}: {error}"
        return None

    def _on_written(self, written: Kept | Slept | Copied | Refused | _StillAwake) -> None:
        if isinstance(written, _StillAwake):
            if (station := self._leaving.pop(written.station, None)) is not None:
                self._play_on(station, written.why)
            return
        if isinstance(written, Slept):
            self._can_sleep = True
            station = self._leaving.pop(written.station, None)
            if station is None:  # closed meanwhile
                sleeper_path(self._sleepers_folder, written.station).unlink(missing_ok=True)
                return
            self._deferred = [request for request in self._deferred if request.station != written.station]
            self._leave(station)
            self._keeper.submit(station.publisher.forget)
        self._pipe.send(written)

    def _play_on(self, station: _Station, why: str) -> None:
        """It could not be put to sleep, and plays on where it would be now."""
        if self._can_sleep:
            log.warning("stations cannot be kept asleep: %s", why)
        self._can_sleep = False
        station.since_s = time.monotonic()
        self._stations[station.id] = station
        self._apply_deferred()

    def _judge(self, now_s: float) -> None:
        """Where there is too much to do for good some stations give way; where there is room one comes back."""
        tally, self._tally = self._tally, Tally(now_s)
        # Who is behind has no block that is due, and nothing is done to it while its log is being replayed.
        stations = [station for station in self._stations.values() if not station.is_behind]
        number = self._burden.judge(tally, self._lead.seconds, stations, now_s)
        if number > 0:
            for station in who_gives_way(stations, number):
                if station.is_heard or not self._can_sleep:
                    self._give_way(station, is_resting=True)
                else:
                    self._put_to_sleep(station)
            log.warning("too much to do for %d stations: %d give way", len(stations), number)
        elif number < 0 and (rested := who_comes_back(stations)) is not None:
            self._give_way(rested, is_resting=False)

    def _give_way(self, station: _Station, is_resting: bool) -> None:
        entry = station.next_entry(Rest() if is_resting else Resume())
        if is_resting:
            station.performance.rest()
        else:
            station.performance.resume()
        self._pipe.send(GaveWay(station.id, is_resting, entry))

    # --- what is told ------------------------------------------------------------------------------------------------

    def _is_read(self) -> bool:
        """Whether the server process reads what it is told. The music does not wait for one that stands still."""
        return bool(self._room.poll(0))

    def _announce(self, station: _Station) -> None:
        """Send the events that are not yet past; after a recovery some are."""
        if not self._is_read():
            return
        play_head = (tick_at(time.monotonic()) - station.first_tick) * BLOCK_FRAMES
        for event in station.performance.announcements():
            if event.at.frame >= play_head - (1 + station.ahead_blocks) * BLOCK_FRAMES:
                self._pipe.send(Happened(station.id, event_message(event)))

    def _tell_status(self, station: _Station) -> None:
        station.next_status_s = time.monotonic() + STATUS_S
        station.is_told_sounding = station.performance.is_sounding
        self._pipe.send(Plays(station.id, playing_message(station.performance)))

    def _keep_house(self) -> None:
        """What is told at its time, however much there is to do."""
        now_s = time.monotonic()
        if now_s - self._tally.since_s >= JUDGE_S:
            self._judge(now_s)
        if not self._is_read():
            return
        for station in self._stations.values():
            is_overdue = now_s > station.next_status_s + STATUS_S
            if is_overdue or station.performance.is_sounding != station.is_told_sounding:
                self._tell_status(station)
        if self._skipped_s and now_s >= self._may_complain_at_s:
            text = "too slow for %d stations, or stopped for a while: %.1f s left out of the streams"
            log.warning(text, len(self._stations), self._skipped_s)
            self._skipped_s, self._may_complain_at_s = 0.0, now_s + COMPLAIN_S
        if now_s - self._health.since_s >= HEALTH_S:
            self._tell_health(now_s)

    def _tell_health(self, now_s: float) -> None:
        health, self._health = self._health, Tally(now_s)
        counted = dict(self._generator.counters())
        grown = {name: count - self._told.get(name, 0) for name, count in counted.items()}
        self._told = counted
        # A station that begins has a bar to be composed, soon or later: what that takes is no share of what it costs.
        ahead = health.share(health.ahead_s, now_s)
        self._ahead_load += (ahead - self._ahead_load) * min(1.0, (now_s - health.since_s) / _AHEAD_S)
        load = min(1.0, health.load(now_s) - ahead + self._ahead_load)
        lead_ms = lead_in_ms(self._lead.seconds)
        self._pipe.send(Health(load, tuple(health.step_ms), tuple(health.encode_ms), health.num_late, grown, lead_ms))
