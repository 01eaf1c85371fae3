"""What an engine is to the server process, wherever it runs: it plays stations, and is started again when it dies.

In: stations to play and controls for them; out: blocks, and what the stations are told. Remembers which stations the
engine plays, what it was asked and has not answered, and what it has kept of each station. Event loop only.

A `Link` assumes no common file system, clock or parent process: an implementation carries requests and reports
(`streaming.engines.wire`) and blocks in whatever way it can.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from engine.audio import BLOCK_SECONDS
from engine.generator import Traits
from engine.take import Entry
from moods.control import Control
from moods.opening import Opening
from streaming.config import Config
from streaming.engines.ring import Chunk
from streaming.engines.wire import (
    Applied,
    Apply,
    Close,
    Compiling,
    Copied,
    Copy,
    Fade,
    Faded,
    Failed,
    GaveWay,
    Happened,
    Health,
    Heard,
    Kept,
    LeftOut,
    Open,
    Opened,
    Plays,
    Ready,
    Refused,
    Report,
    Request,
    Resume,
    Sleep,
    Slept,
)
from streaming.errors import ControlRefused, EngineFailed, EngineUnavailable, UnknownStation
from streaming.journal import about
from streaming.messages import Playing, Told
from streaming.metrics import Metrics
from streaming.pacing import tick_at, time_of
from streaming.starting import StartNotice

log = logging.getLogger(__name__)

_ANSWER_S = 15.0
_STEADY_S = 10.0
"""An engine that lived longer is started again at once, another after a pause."""
_LONGEST_PAUSE_S = 5.0
_PACE, _SLOW_PACE = 0.1, 0.01
"""How far a report moves what is known of the load, and of a station's share; five come in a second."""
_STATION_LOAD = 0.05
"""A station's share of a core until it has been measured."""
_HALF_TICK_S = BLOCK_SECONDS / 2


class Played(Protocol):
    """A station as the link to its engine knows it."""

    id: str
    opening: Opening
    seed: int
    first_tick: int | None
    """The tick of block 0; None until the engine has opened the station, while it sleeps, and when it is closed."""
    is_asleep: bool
    ahead_blocks: int
    """How many blocks it plays ahead of the clock."""
    first_block: int
    """The block with which it goes on when it wakes."""

    @property
    def is_idle(self) -> bool: ...
    @property
    def log(self) -> Iterable[Entry]: ...

    def on_opened(self, first_tick: int, playing: Playing) -> None: ...
    def on_applied(self, report: Applied) -> None: ...
    def on_playing(self, playing: Playing) -> None: ...
    def on_event(self, event: Told) -> None: ...
    def on_gave_way(self, report: GaveWay) -> None: ...
    def on_left_out(self, report: LeftOut) -> None: ...
    def fall_asleep(self, next_block: int) -> None: ...


class Owner(Protocol):
    """Whoever keeps the stations, as the links to the engines know it."""

    config: Config
    metrics: Metrics

    def on_slept(self, station_id: str, num_kept_controls: int) -> None:
        """The engine has kept the station with the effect of so many controls, and plays it no more."""

    def on_lost(self, station_id: str) -> None:
        """An engine that was begun anew cannot bring the station back."""


class Engines(Protocol):
    """Leads to engines of one kind."""

    def link(self, name: str, owner: Owner) -> Link: ...
    def close(self) -> None:
        """Throw away what they had in common; their links are stopped."""


class FellAsleep(Exception):
    """The station fell asleep before a control could be applied: wake it, and ask again."""


@dataclass(slots=True)
class _Held:
    """A station that the engine plays, or is to play."""

    station: Played
    opened: asyncio.Future[None]
    num_kept_controls: int = 0
    """How many controls what the engine has kept of it already holds."""


@dataclass(slots=True)
class _Asked:
    """A control, or a copy, that has not been answered."""

    request: Apply | Copy | Fade
    answer: asyncio.Future[Any]
    num_sent: int = 0
    """To how many runs of the engine."""


class Link(ABC):
    """One engine. Between `start` and `stop` it is begun anew whenever it ends. `name` tells it from others."""

    keeps_through_death: ClassVar[bool] = True
    """Whether what an engine has kept of its stations is there for the one that is begun after it."""

    def __init__(self, name: str, owner: Owner) -> None:
        self.name = name
        self.is_ready = False
        """The engine takes work."""
        self.traits: Traits | None = None
        """Of the generator that plays; None until an engine has been ready."""
        self.load = 0.0
        """Share of time it makes blocks, 0 … 1, over the last seconds."""
        self._unseen_load = 0.0
        """What `load` does not show yet of stations that came and went."""
        self.station_load = _STATION_LOAD
        """What a station adds to the load, as measured over the last half minute."""
        self.lead_ms = owner.config.lead_ms
        """How long before its time a block is made, as the engine has it now."""
        self._owner, self._config, self._metrics = owner, owner.config, owner.metrics
        self._notice = StartNotice(log.info if self._config.log_json else None)
        self._started: asyncio.Future[None] | None = None
        self._heard_s = 0.0
        self._ready_s = 0.0
        """When it was last ready to work; 0 before the first time."""
        self._num_failures = 0
        self._stations: dict[str, _Held] = {}
        self._numbers = itertools.count()
        self._unanswered: dict[int, _Asked] = {}
        self._restarting: asyncio.Task[None] | None = None

    # --- what each kind of engine does its own way -----------------------------------------------------------------

    @abstractmethod
    def _begin(self) -> None:
        """Start an engine. From now on call `_hear` with what it reports, and `_on_end` when it has ended by itself.

        Raises OSError where none can be started now.
        """

    @abstractmethod
    def _transmit(self, request: Request, sent_s: float) -> None:
        """Send a request whose times count from `sent_s` of our clock; requests arrive in order. Never waits."""

    @abstractmethod
    def _kill(self) -> None:
        """End the engine at once; `_on_end` follows."""

    @abstractmethod
    async def _end(self) -> None:
        """End the engine in good order and free what is left of it; `_on_end` is not called any more."""

    @abstractmethod
    def _make_room(self, station_id: str) -> None:
        """Get ready to receive a station's blocks. Raises `EngineUnavailable` where there is no room."""

    @abstractmethod
    def _free_room(self, station_id: str) -> None:
        """Throw away a station's blocks, and all that was kept of it while it played."""

    @abstractmethod
    def has_kept(self, station_id: str) -> bool:
        """Whether this engine reaches what was kept of a station that sleeps."""

    @abstractmethod
    def forget(self, station_id: str) -> None:
        """Throw away what was kept of a station that sleeps; idempotent."""

    @abstractmethod
    def read(self, station_id: str, block: int) -> Chunk | None:
        """The station's block number `block`, or None where it has not come or is too old."""

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin the engine; it takes work when this returns. Raises `EngineFailed`, and OSError, where it cannot start
        at all."""
        self._started = asyncio.get_running_loop().create_future()
        self._heard_s = time.monotonic()
        self._begin()
        await self._started

    async def stop(self) -> None:
        """End the engine; idempotent."""
        self.is_ready = False
        if self._restarting is not None:
            self._restarting.cancel()
        await self._end()

    def watch(self, now_s: float) -> None:
        """Take an engine that is silent for dead; to be asked several times a second."""
        if self.is_ready and now_s - self._heard_s > self._config.hang_s:
            silent_s = round(now_s - self._heard_s, 1)
            log.error(
                "an engine has been silent for too long; ending it", extra=about(engine=self.name, seconds=silent_s)
            )
            self._kill()
            self._heard_s = now_s

    def excuse(self, now_s: float) -> None:
        """Hold no silence against the engine until now: nobody listened."""
        self._heard_s = now_s

    @property
    def expected_load(self) -> float:
        """The load that is coming: what is measured, and what has been placed here since."""
        return max(0.0, self.load + self._unseen_load)

    @property
    def num_stations(self) -> int:
        return len(self._stations)

    @property
    def free_load(self) -> float:
        """The share of its time that further stations may take."""
        return max(0.0, self._config.max_load - self.expected_load)

    @property
    def is_busy(self) -> bool:
        """It has no time for another station."""
        return self.free_load < self.station_load

    @property
    def num_unanswered(self) -> int:
        """Controls that wait for it."""
        return len(self._unanswered)

    @property
    def pid(self) -> int | None:
        """Its process, where that is one of this machine."""
        return None

    @property
    def has_slot(self) -> bool:
        return self.num_stations < self._config.max_playing

    # --- stations ----------------------------------------------------------------------------------------------------

    async def open(self, station: Played, num_kept_controls: int = 0) -> None:
        """Have the engine play a station, from its beginning or where it fell asleep; it plays when this returns.

        What is kept of one that sleeps holds the effect of its first `num_kept_controls` controls.
        Raises `EngineUnavailable`, `UnknownStation`; the engine then knows nothing of the station.
        """
        self._make_room(station.id)
        held = _Held(station, asyncio.get_running_loop().create_future())
        if station.is_asleep and self.has_kept(station.id):
            held.num_kept_controls = num_kept_controls
        self._stations[station.id] = held
        self._unseen_load += self.station_load
        self._send_open(held)
        try:
            await asyncio.wait_for(held.opened, _ANSWER_S)
        except BaseException as error:
            if self._stations.get(station.id) is held:
                self._send(Close(station.id))
                self._release(station.id, UnknownStation(station.id))
            if isinstance(error, TimeoutError):
                raise EngineUnavailable("the engine did not answer in time") from error
            raise

    def close(self, station_id: str, *, is_kept: bool = False) -> None:
        """End a station that plays or sleeps; what is kept of it goes too, unless another server is to have it.

        Idempotent.
        """
        if station_id in self._stations:
            self._send(Close(station_id))
            self._release(station_id, UnknownStation(station_id))
        if not is_kept:
            self.forget(station_id)

    def put_to_sleep(self, station_id: str) -> None:
        """Have the engine keep a station and play it no more: `Owner.on_slept` follows, unless it cannot now."""
        self._send(Sleep(station_id))

    def tell_heard(self, station_id: str, is_heard: bool) -> None:
        """Say whether anybody listens to a station."""
        if station_id in self._stations:
            self._send(Heard(station_id, is_heard))

    def _release(self, station_id: str, error: Exception) -> None:
        """The engine plays the station no more; whoever waits for it is told `error`."""
        held = self._stations.pop(station_id)
        self._unseen_load -= self.station_load
        _settle(held.opened, error)
        for number, asked in list(self._unanswered.items()):
            if asked.request.station == station_id:
                del self._unanswered[number]
                _settle(asked.answer, error)
        self._free_room(station_id)

    async def apply(self, station_id: str, control: Control) -> Applied:
        """Have a control applied; answer what the engine says of it.

        Raises `UnknownStation`, `ControlRefused`, `EngineUnavailable`, `FellAsleep`.
        """
        try:
            applied: Applied = await self._answer_to(Apply(station_id, next(self._numbers), control))
        except TimeoutError:
            raise EngineUnavailable("the engine did not answer in time; the control may still be applied") from None
        return applied

    async def copy(self, station_id: str, copy_id: str) -> Copied:
        """Have a station that plays kept under another id too, as if it slept there.

        Raises `UnknownStation`, `EngineUnavailable`, `FellAsleep`.
        """
        try:
            copied: Copied = await self._answer_to(Copy(station_id, next(self._numbers), copy_id))
        except TimeoutError:
            raise EngineUnavailable("the engine did not answer in time") from None
        except ControlRefused as refusal:
            raise EngineUnavailable(refusal.detail) from None
        return copied

    def copy_sleeper(self, station_id: str, copy_id: str) -> None:
        """Keep what is kept of a station that sleeps under another id too; any thread.

        Raises OSError where it cannot be reached.
        """
        raise FileNotFoundError(f"what is kept of {station_id} is out of reach")

    def num_controls_kept(self, station_id: str) -> int:
        """Of how many controls what is kept of a station that sleeps holds the effect; any thread. 0 where this engine
        cannot go on with it: then it is to be told all controls again."""
        return 0

    async def fade(self, station_id: str, from_block: int, num_blocks: int, *, is_kept: bool) -> Faded:
        """Have a station fade out, as `Fade` says; this returns when it begins.

        Raises TimeoutError, `UnknownStation`, `EngineUnavailable`, `FellAsleep`.
        """
        faded: Faded = await self._answer_to(Fade(station_id, next(self._numbers), from_block, num_blocks, is_kept))
        return faded

    async def _answer_to(self, request: Apply | Copy | Fade) -> Any:
        """Raises TimeoutError, and as `apply` does."""
        if request.station not in self._stations:
            raise FellAsleep
        asked = _Asked(request, asyncio.get_running_loop().create_future())
        self._unanswered[request.request] = asked
        if self.is_ready:  # else it is sent when the engine is
            self._ask(asked)
        try:
            return await asyncio.wait_for(asked.answer, _ANSWER_S)
        finally:
            self._unanswered.pop(request.request, None)

    def _ask(self, asked: _Asked) -> None:
        asked.num_sent += 1
        self._send(asked.request)

    def _send_open(self, held: _Held) -> None:
        station, resume, now_s = held.station, None, time.monotonic()
        if station.first_tick is not None or station.is_asleep:
            due_in_s: float | None
            if station.first_tick is not None:
                due_in_s = time_of(station.first_tick) - now_s
            elif self.has_kept(station.id):
                due_in_s = None
            else:
                due_in_s = -time_of(station.first_block)  # made anew from its beginning until it is there
            entries = tuple(entry for entry in station.log if entry.index >= held.num_kept_controls)
            is_whole = held.num_kept_controls == 0
            resume = Resume(due_in_s, entries, station.first_block, is_whole)
        heard, ahead_blocks = not station.is_idle, station.ahead_blocks
        self._send(Open(station.id, station.opening, station.seed, resume, heard, ahead_blocks), now_s)

    def _send(self, request: Request, sent_s: float | None = None) -> None:
        """What is asked while the engine is away is sent when it is back."""
        if self.is_ready:
            self._transmit(request, time.monotonic() if sent_s is None else sent_s)

    # --- what the engine says ----------------------------------------------------------------------------------------

    def _hear(self, report: Report, sent_s: float) -> None:
        """Take in a report that was sent at `sent_s` of our clock, as far as anybody can tell."""
        self._heard_s = time.monotonic()
        match report:
            case Health():
                self._on_health(report)
            case Compiling(done=done, total=total):
                self._notice(done, total)
            case Ready(traits=traits):
                self.traits = traits
                self._notice.end()
                self._on_ready()
            case Failed(detail=detail):
                _settle(self._started, EngineFailed(detail))
            case _ if held := self._stations.get(report.station):
                self._hear_of(held, report, sent_s)
            case Slept():  # closed meanwhile
                self.forget(report.station)
            case Copied(copy=copy):  # its station was closed meanwhile
                self.forget(copy)

    def _hear_of(self, held: _Held, report: Report, sent_s: float) -> None:
        station = held.station
        match report:
            case Happened(event=event):
                station.on_event(event)
            case Plays(playing=playing):
                station.on_playing(playing)
            case Applied(request=number):
                station.on_applied(report)
                if number in self._unanswered:
                    _settle(self._unanswered[number].answer, report)
            case Faded(request=number):
                if number in self._unanswered:
                    _settle(self._unanswered[number].answer, report)
            case Copied(request=number, copy=copy):
                if number in self._unanswered:
                    _settle(self._unanswered[number].answer, report)
                else:  # nobody waited for it so long
                    self.forget(copy)
            case Refused(request=None, detail=detail):
                error = EngineUnavailable(detail)
                if held.opened.done():
                    log.error("a station cannot be brought back", extra=about(station=station.id, detail=str(error)))
                    self._owner.on_lost(station.id)
                _settle(held.opened, error)
            case Refused(request=number):
                if number in self._unanswered:
                    refusal = ControlRefused(report.code, report.detail, **report.members)
                    _settle(self._unanswered[number].answer, refusal)
            case GaveWay():
                station.on_gave_way(report)
            case LeftOut():
                station.on_left_out(report)
            case Slept(next_block=next_block, num_controls=num_controls):
                station.fall_asleep(next_block)
                self._release(station.id, FellAsleep())
                self._owner.on_slept(station.id, num_controls)
            case Kept(num_controls=num_controls):
                held.num_kept_controls = num_controls
            case Opened(due_in_s=due_in_s, playing=playing):
                if not held.opened.done():
                    station.on_opened(tick_at(sent_s + due_in_s + _HALF_TICK_S), playing)
                _settle(held.opened, None)

    def _on_health(self, health: Health) -> None:
        self.load += _PACE * (health.load - self.load)
        self._unseen_load *= 1 - _PACE
        if self._stations:
            self.station_load += _SLOW_PACE * (health.load / len(self._stations) - self.station_load)
        self.lead_ms = health.lead_ms
        self._metrics.late_blocks.inc(health.late_blocks)
        self._metrics.composer_resets.inc(health.counters.get("composer_resets", 0))
        for name, count in health.counters.items():
            self._metrics.generator_events.labels(name).inc(count)
        for step_ms in health.step_ms:
            self._metrics.step_ms.observe(step_ms)
        for encode_ms in health.encode_ms:
            self._metrics.encode_ms.observe(encode_ms)

    # --- when the engine dies ----------------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        """Send what the engine must know: stations that play, then requests that were not answered."""
        self.is_ready, self._ready_s = True, time.monotonic()
        self.load, self._unseen_load = 0.0, self.station_load * len(self._stations)
        for held in self._stations.values():
            if not self.keeps_through_death:
                held.num_kept_controls = 0
            self._send_open(held)
        for asked in self._unanswered.values():
            if asked.num_sent > 1:  # it has met two deaths: it may be their cause
                text = "the engine died twice over this; it is not done"
                _settle(asked.answer, EngineUnavailable(text))
            else:
                self._ask(asked)
        _settle(self._started, None)

    def _on_end(self) -> None:
        """The engine has ended by itself: begin another."""
        if not self._ready_s:
            _settle(self._started, EngineFailed("the engine process ended while it started; its words are above"))
            return
        is_steady = self.is_ready and time.monotonic() - self._ready_s > _STEADY_S
        self._num_failures = 0 if is_steady else self._num_failures + 1
        self.is_ready = False
        self._metrics.engine_restarts.inc()
        log.error("an engine has died; starting another", extra=about(engine=self.name, stations=len(self._stations)))
        pause_s = min(_LONGEST_PAUSE_S, 0.05 * 2**self._num_failures) if self._num_failures else 0.0
        self._restarting = asyncio.create_task(self._restart(pause_s))

    async def _restart(self, pause_s: float) -> None:
        await self._end()
        await asyncio.sleep(pause_s)
        while not self._has_begun():
            await asyncio.sleep(_LONGEST_PAUSE_S)

    def _has_begun(self) -> bool:
        """Begin the engine, if it can be had now."""
        self._heard_s = time.monotonic()
        try:
            self._begin()
        except OSError as error:
            facts = about(engine=self.name, detail=str(error))
            log.error("an engine cannot be started now; trying again in %.0f s", _LONGEST_PAUSE_S, extra=facts)
            return False
        return True


def _settle(answer: asyncio.Future[Any] | None, result: Any) -> None:
    """Give a waiting future its result or error, unless it has been given up."""
    if answer is None or answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
