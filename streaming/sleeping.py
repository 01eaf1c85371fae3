"""Sleep: engines play the stations that somebody wants, and that they have time for.

In: who wants a station; out: stations that fall asleep and wake. Remembers when each that plays was last wanted, what
is kept of each that sleeps, and who waits for which. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from moods.control import Control
from moods.timeline import Timeline
from streaming.config import Config
from streaming.engines.choice import choose_link
from streaming.engines.link import FellAsleep, Link
from streaming.engines.wire import Applied
from streaming.errors import EngineUnavailable, UnknownStation
from streaming.station import Station

MAX_WAKES = 3
"""How often somebody wakes a station that falls asleep again before they have been served."""
ROOM_S = 2.0
"""How long a new station waits for others to make room …"""
_GRACE_S = 0.5
"""… which those do that nobody has wanted for so long."""
_WAKE_S = 15.0
"""How long a control waits for its station to wake."""
_TRY_AGAIN_S = 0.5
_HOLD_S = 0.2
"""How often a station that is to stand still is asked again: one that is behind cannot at once."""


class Keeper(Protocol):
    """Whoever keeps the stations, as their sleep knows it."""

    config: Config

    @property
    def stations(self) -> Mapping[str, Station]: ...
    @property
    def links(self) -> list[Link]: ...
    @property
    def is_making_room(self) -> bool:
        """A station that was ended still fades out, and its engine soon has a place for another."""

    def check_stays(self) -> None:
        """Raises `ServerEnds`."""

    def check_open(self, station: Station) -> None:
        """Raises `UnknownStation`."""

    async def plan(self, timeline: Timeline | None) -> None: ...


@dataclass(slots=True)
class _Sleep:
    """Of one station."""

    num_kept_controls: int = 0
    """While it sleeps: how many of its controls what is kept of it holds."""
    waking: asyncio.Task[None] | None = None
    falling: asyncio.Future[None] | None = None
    """Somebody waits until it sleeps."""


class Sleeping:
    """The sleep of all stations of a server."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._sleeps: dict[str, _Sleep] = {}
        """By station id."""
        self.wanted_s: dict[Station, float] = {}
        """When the stations that play were last opened, woken, steered, or asked to sleep."""
        self.waking: set[asyncio.Task[None]] = set()
        """What brings stations back."""

    def add(self, station: Station, num_kept_controls: int = 0) -> None:
        """Look after a station; of one that sleeps something is kept that holds the effect of so many controls."""
        self._sleeps[station.id] = _Sleep(num_kept_controls)

    def forget(self, station: Station) -> None:
        """It has been closed."""
        sleep = self._sleeps.pop(station.id)
        self.wanted_s.pop(station, None)
        if sleep.falling is not None and not sleep.falling.done():
            sleep.falling.set_result(None)

    def _of(self, station: Station) -> _Sleep:
        """Of one that has been closed meanwhile nothing is known."""
        return self._sleeps.get(station.id) or _Sleep()

    def num_kept_controls(self, station: Station) -> int:
        """How many of its controls what is kept of a station that sleeps holds."""
        return self._of(station).num_kept_controls

    def want(self, station: Station) -> None:
        """Let it play for a while from now, whether anybody listens or not."""
        if self._keeper.stations.get(station.id) is station and not station.is_asleep:
            self.wanted_s[station] = time.monotonic()

    def excuse(self, stalled_s: float) -> None:
        """Hold it against nobody that this process stood still for so long."""
        for station in self.wanted_s:
            self.wanted_s[station] += stalled_s

    # --- falling asleep ----------------------------------------------------------------------------------------------

    def let_sleep(self, now_s: float) -> None:
        """Put to sleep what nobody has wanted for long."""
        for station in self._unwanted(now_s - self._keeper.config.sleep_s):
            self.put_to_sleep(station)

    def put_to_sleep(self, station: Station) -> None:
        """Have its engine keep it and play it no more, if it can."""
        self.wanted_s[station] = time.monotonic()  # where it cannot sleep now it is asked again later
        station.link.put_to_sleep(station.id)

    async def falls_asleep(self, station: Station, patience_s: float = ROOM_S) -> None:
        """Put a station to sleep, and wait until it sleeps, but not for ever."""
        sleep = self._of(station)
        if sleep.falling is None:
            sleep.falling = asyncio.get_running_loop().create_future()
        falling = sleep.falling
        try:
            self.put_to_sleep(station)
            await asyncio.wait([falling], timeout=patience_s)
        finally:
            sleep.falling = None

    def on_slept(self, station: Station, num_kept_controls: int) -> None:
        """Its engine has kept it and plays it no more."""
        self.wanted_s.pop(station, None)
        sleep = self._of(station)
        sleep.num_kept_controls = num_kept_controls
        if sleep.falling is not None and not sleep.falling.done():
            sleep.falling.set_result(None)

    async def find_room(self) -> Link:
        """An engine for a new station; where all are full, one whose station was ended, or is wanted by nobody and
        sleeps then.

        Raises `EngineUnavailable`.
        """
        config, until_s = self._keeper.config, time.monotonic() + ROOM_S
        while True:
            try:
                return choose_link(self._keeper.links, config.max_load)
            except EngineUnavailable:
                now_s = time.monotonic()
                may_sleep = bool(config.sleep_s and self._unwanted(now_s))
                if now_s > until_s or not (may_sleep or self._keeper.is_making_room):
                    raise
            if may_sleep and (unwanted := self._unwanted(now_s - _GRACE_S)):
                await self.falls_asleep(unwanted[0])
            else:
                await asyncio.sleep(_GRACE_S / 4)

    def _unwanted(self, since_s: float) -> list[Station]:
        """The stations that play for nobody and have not been wanted since, which was longest ago first."""
        alone = {station: max(wanted_s, station.idle_since_s)
                 for station, wanted_s in self.wanted_s.items() if station.is_idle}  # fmt: skip
        return [station for station in sorted(alone, key=alone.__getitem__) if alone[station] < since_s]

    # --- waking ------------------------------------------------------------------------------------------------------

    def wake(self, station: Station) -> asyncio.Task[None]:
        """Have a station that sleeps play on; the task raises `EngineUnavailable`, `UnknownStation`."""
        sleep = self._of(station)
        if sleep.waking is None:
            sleep.waking = task = asyncio.create_task(self._bring_back(station, sleep))
            self.waking.add(task)
            task.add_done_callback(self.waking.discard)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a listener asks for no answer
        return sleep.waking

    async def _bring_back(self, station: Station, sleep: _Sleep) -> None:
        """A listener waits as long as it takes."""
        keeper = self._keeper
        try:
            while keeper.stations.get(station.id) is station:
                try:
                    await keeper.plan(station.opening.timeline)
                    station.link = choose_link(keeper.links, keeper.config.max_load, station)
                    await station.link.open(station, sleep.num_kept_controls)
                except EngineUnavailable:
                    if station.is_idle:
                        raise
                    await asyncio.sleep(_TRY_AGAIN_S)
                if not station.is_asleep:
                    self.want(station)
                    return
                if station.is_idle:  # it has fallen asleep again already
                    return
            raise UnknownStation(station.id)
        finally:
            sleep.waking = None

    async def apply(self, station: Station, control: Control) -> Applied:
        """Apply a control, waking the station for it.

        Raises `UnknownStation`, `ControlRefused`, `EngineUnavailable`, `ServerEnds`.
        """
        for _ in range(MAX_WAKES):
            self._keeper.check_open(station)
            self._keeper.check_stays()
            if station.is_held:
                raise EngineUnavailable("the client that plays this station has paused it; try when it plays again")
            if station.is_asleep:
                try:
                    await asyncio.wait_for(asyncio.shield(self.wake(station)), _WAKE_S)
                except TimeoutError:
                    raise EngineUnavailable("the station could not be woken in time; try later") from None
            self.want(station)
            with contextlib.suppress(FellAsleep):
                return await station.link.apply(station.id, control)
        raise EngineUnavailable("the engines have too much to do to wake the station; try later")

    # --- standing still ----------------------------------------------------------------------------------------------

    async def hold(self, station: Station) -> None:
        """Have a station stand still although it is heard, until it is released; it sleeps when this returns."""
        station.is_held = True
        if (waking := self._of(station).waking) is not None:
            await asyncio.wait([waking])
        while station.is_held and not station.is_asleep and self._keeper.stations.get(station.id) is station:
            await self.falls_asleep(station, _HOLD_S)

    def release(self, station: Station) -> None:
        """Have a station that was held play on where it stood, as soon as it is awake."""
        station.is_held = False
        if station.is_asleep and not station.is_idle:
            self.wake(station)
