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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.audio import BLOCK_SECONDS
from streaming.config import Config
from streaming.engines.ring import Chunk
from streaming.engines.wire import (
    Applied,
    Apply,
    Close,
    Compiling,
    Failed,
    GaveWay,
    Happened,
    Health,
    Kept,
    Open,
    Opened,
    Ready,
    Refused,
    Report,
    Request,
    Resume,
)
from streaming.errors import ControlRefused, EngineFailed, EngineUnavailable, UnknownStation
from streaming.metrics import Metrics
from streaming.pacing import tick_at, time_of
from streaming.protocol import Event, LogEntry
from streaming.starting import StartNotice

log = logging.getLogger(__name__)

_ANSWER_S = 15.0
_STEADY_S = 10.0
"""An engine that lived longer is started again at once, another after a pause."""
_LONGEST_PAUSE_S = 5.0
_HALF_TICK_S = BLOCK_SECONDS / 2


class Played(Protocol):
    """A station as the link to its engine knows it."""

    id: str
    opening: dict[str, Any]
    seed: int
    first_tick: int | None
    """The tick of block 0; None until the engine has opened the station, and when it is closed."""

    @property
    def log(self) -> Iterable[LogEntry]: ...

    def on_opened(self, first_tick: int, status: Event) -> None: ...
    def on_applied(self, report: Applied) -> None: ...
    def on_event(self, event: Event) -> None: ...
    def on_gave_way(self, is_resting: bool) -> None: ...


@dataclass(slots=True)
class _Held:
    """A station that the engine plays, or is to play."""

    station: Played
    opened: asyncio.Future[None]
    num_kept_controls: int = 0
    """How many controls what the engine has kept of it already holds."""


@dataclass(slots=True)
class _Asked:
    """A control that has not been answered."""

    apply: Apply
    answer: asyncio.Future[Applied]
    is_resent: bool = False


class Link(ABC):
    """One engine. Between `start` and `stop` it is begun anew whenever it ends; `on_lost` is called with the id of a
    station that it then cannot bring back."""

    def __init__(self, config: Config, metrics: Metrics, on_lost: Callable[[str], None]) -> None:
        self.is_ready = False
        """The engine takes work."""
        self.load = 0.0
        """Share of time it makes blocks, 0 … 1, over the last seconds."""
        self.lead_ms = config.lead_ms
        """How long before its time a block is made, as the engine has it now."""
        self._config, self._metrics, self._on_lost = config, metrics, on_lost
        self._notice = StartNotice(log.info if config.log_json else None)
        self._started: asyncio.Future[None] | None = None
        self._heard_s = self._ready_s = 0.0
        self._num_failures = 0
        self._stations: dict[str, _Held] = {}
        self._numbers = itertools.count()
        self._unanswered: dict[int, _Asked] = {}
        self._restarting: asyncio.Task[None] | None = None

    # --- what each kind of engine does its own way -----------------------------------------------------------------

    @abstractmethod
    def _begin(self) -> None:
        """Start an engine. From now on call `_hear` with what it reports, and `_on_end` when it has ended by itself."""

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
        """Throw away a station's blocks and all that was kept of it."""

    @abstractmethod
    def read(self, station_id: str, block: int) -> Chunk | None:
        """The station's block number `block`, or None where it has not come or is too old."""

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin the engine; it takes work when this returns. Raises `EngineFailed` where it cannot start at all."""
        self._started = asyncio.get_running_loop().create_future()
        self._heard_s = time.monotonic()
        self._begin()
        await self._started

    async def stop(self) -> None:
        """End the engine; again is no harm."""
        self.is_ready = False
        if self._restarting is not None:
            self._restarting.cancel()
        await self._end()

    def watch(self, now_s: float) -> None:
        """Take an engine that is silent for dead; to be asked several times a second."""
        if self.is_ready and now_s - self._heard_s > self._config.hang_s:
            log.error("the engine has been silent for %.1f s; ending it", now_s - self._heard_s)
            self._kill()
            self._heard_s = now_s

    def excuse(self, now_s: float) -> None:
        """Hold no silence against the engine until now: nobody listened."""
        self._heard_s = now_s

    # --- stations ----------------------------------------------------------------------------------------------------

    async def open(self, station: Played) -> None:
        """Have the engine play a station; it plays when this returns.

        Raises `EngineUnavailable`; the engine then knows nothing of the station.
        """
        self._make_room(station.id)
        held = _Held(station, asyncio.get_running_loop().create_future())
        self._stations[station.id] = held
        self._send_open(held)
        try:
            await asyncio.wait_for(held.opened, _ANSWER_S)
        except BaseException as error:
            self.close(station.id)
            if isinstance(error, TimeoutError):
                raise EngineUnavailable("the engine did not answer in time") from error
            raise

    def close(self, station_id: str) -> None:
        """End a station; again is no harm."""
        if self._stations.pop(station_id, None) is None:
            return
        self._send(Close(station_id))
        for number, asked in list(self._unanswered.items()):
            if asked.apply.station == station_id:
                del self._unanswered[number]
                _settle(asked.answer, UnknownStation(station_id))
        self._free_room(station_id)

    async def apply(self, station_id: str, control: dict[str, Any]) -> Applied:
        """Have a control applied; answer what the engine says of it.

        Raises `UnknownStation`, `ControlRefused`, `EngineUnavailable`.
        """
        number = next(self._numbers)
        asked = _Asked(Apply(station_id, number, control), asyncio.get_running_loop().create_future())
        self._unanswered[number] = asked
        self._send(asked.apply)
        try:
            return await asyncio.wait_for(asked.answer, _ANSWER_S)
        except TimeoutError:
            raise EngineUnavailable("the engine did not answer in time; the control may still be applied") from None
        finally:
            self._unanswered.pop(number, None)

    def _send_open(self, held: _Held) -> None:
        station, resume, now_s = held.station, None, time.monotonic()
        if station.first_tick is not None:
            entries = tuple(entry for entry in station.log if entry.index >= held.num_kept_controls)
            resume = Resume(time_of(station.first_tick) - now_s, entries)
        self._send(Open(station.id, station.opening, station.seed, resume), now_s)

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
            case Ready():
                self._notice.end()
                self._on_ready()
            case Failed(detail=detail):
                _settle(self._started, EngineFailed(detail))
            case _ if held := self._stations.get(report.station):
                self._hear_of(held, report, sent_s)

    def _hear_of(self, held: _Held, report: Report, sent_s: float) -> None:
        station = held.station
        match report:
            case Happened(event=event):
                station.on_event(event)
            case Applied(request=number):
                station.on_applied(report)
                if number in self._unanswered:
                    _settle(self._unanswered[number].answer, report)
            case Refused(request=None, problem=problem):
                error = EngineUnavailable(problem["detail"])
                if held.opened.done():
                    log.error("station %s could not be brought back: %s", station.id, error)
                    self._on_lost(station.id)
                _settle(held.opened, error)
            case Refused(request=number, problem=problem):
                if number in self._unanswered:
                    _settle(self._unanswered[number].answer, ControlRefused(**problem))
            case GaveWay(is_resting=is_resting):
                station.on_gave_way(is_resting)
            case Kept(num_controls=num_controls):
                held.num_kept_controls = num_controls
            case Opened(due_in_s=due_in_s, status=status):
                if not held.opened.done():
                    station.on_opened(tick_at(sent_s + due_in_s + _HALF_TICK_S), status)
                _settle(held.opened, None)

    def _on_health(self, health: Health) -> None:
        self.load += 0.1 * (health.load - self.load)
        self.lead_ms = health.lead_ms
        self._metrics.late_blocks.inc(health.late_blocks)
        self._metrics.composer_resets.inc(health.counters.get("composer_resets", 0))
        for step_ms in health.step_ms:
            self._metrics.step_ms.observe(step_ms)

    # --- when the engine dies ----------------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        """Send what the engine must know: stations that play, then requests that were not answered."""
        self.is_ready, self.load, self._ready_s = True, 0.0, time.monotonic()
        for held in self._stations.values():
            self._send_open(held)
        for asked in self._unanswered.values():
            if asked.is_resent:  # it has met two deaths: it may be their cause
                text = "the engine died twice over this control; it is not applied"
                _settle(asked.answer, EngineUnavailable(text))
            else:
                asked.is_resent = True
                self._send(asked.apply)
        _settle(self._started, None)

    def _on_end(self) -> None:
        """The engine has ended by itself: begin another."""
        if self._started is not None and not self._started.done():
            self._started.set_exception(EngineFailed("the engine process ended while it started; its words are above"))
            return
        is_steady = self.is_ready and time.monotonic() - self._ready_s > _STEADY_S
        self._num_failures = 0 if is_steady else self._num_failures + 1
        self.is_ready = False
        self._metrics.engine_restarts.inc()
        log.error("the engine process has died; starting another")
        pause_s = min(_LONGEST_PAUSE_S, 0.05 * 2**self._num_failures) if self._num_failures else 0.0
        self._restarting = asyncio.create_task(self._restart(pause_s))

    async def _restart(self, pause_s: float) -> None:
        await self._end()
        await asyncio.sleep(pause_s)
        self._heard_s = time.monotonic()
        self._begin()


def _settle(answer: asyncio.Future[Any] | None, result: Any) -> None:
    """Give a waiting future its result or error, unless it has been given up."""
    if answer is None or answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
