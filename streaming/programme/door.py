"""The programme at work: asks stations for what is on. In: the clock on the wall; out: orders, and what is on.

Remembers which turn each station has been given. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Self

from engine.take import Entry
from moods.fields import MoodFields
from streaming.conductor import Conductor
from streaming.doors import DoorState
from streaming.hand import Hand
from streaming.messages import Programme, ProgrammeTurn
from streaming.programme.schedule import Schedule, Turn
from streaming.station import Station

_LOOK_S = 2.0
"""How often the clock is looked at: it may be set, and this machine may have slept."""
_LATE_S = 60.0
"""What has begun longer ago is joined: what happens once has happened."""


class ProgrammeDoor:
    """Keeps stations to their programme while entered, if there is one: `async with ProgrammeDoor(conductor)`."""

    name = "programme"

    def __init__(self, conductor: Conductor) -> None:
        self._conductor, self._schedule = conductor, conductor.config.schedule
        self.state = DoorState(self.name, conductor.metrics)
        self._hands = {name: Hand(conductor, name, by=self.name) for name in self._schedule.stations}
        self._given: dict[str, str] = {}
        """The id of the turn that a station has had last, by the station's id."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._hands:
            for hand in self._hands.values():
                await self._stack.enter_async_context(hand)
            self._conductor.doors.append(self)
            self._stack.callback(asyncio.create_task(self._run()).cancel)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def _run(self) -> None:
        self.keep(datetime.now(UTC), is_start=True)
        self.state.connected()
        while True:
            await asyncio.sleep(_LOOK_S)
            self.keep(datetime.now(UTC))

    def keep(self, now: datetime, *, is_start: bool = False) -> None:
        """Give every station that is there what is on at `now`, unless it has had it."""
        for name, hand in self._hands.items():
            if (station := hand.station) is not None:
                on = self._schedule.on(name, now)
                if on is not None and self._is_to_have(station, on, is_start=is_start):
                    is_late = (now - on.begins).total_seconds() > _LATE_S
                    hand.give(on.entry.order.lasting if is_late else on.entry.order, on.id)
                self._given[station.id] = "" if on is None else on.id
                station.programme = _told(self._schedule, on, self._schedule.next(name, now))
        self._given = {key: given for key, given in self._given.items() if key in self._conductor.stations}

    def _is_to_have(self, station: Station, on: Turn, *, is_start: bool) -> bool:
        """Somebody's wish counts until the next turn: what a station has had it is not given again, also not by the
        server after this one; and one that was opened meanwhile with a mood of its own keeps it."""
        if station.id in self._given:
            return self._given[station.id] != on.id
        has_own = bool(MoodFields.model_fields.keys() & station.opening.model_fields_set)
        return (is_start or not has_own) and not any(_is_of(entry, on) for entry in reversed(station.log))


def _is_of(entry: Entry, turn: Turn) -> bool:
    if isinstance(entry.done, str) and turn.id not in entry.done:
        return False
    with contextlib.suppress(ValueError):
        return entry.asked().get("id") == turn.id
    return False


def _told(schedule: Schedule, on: Turn | None, following: Turn | None) -> Programme | None:
    told = Programme()
    if on is not None:
        told["now"] = _turn_message(schedule, on)
    if following is not None:
        told["next"] = _turn_message(schedule, following)
    return told or None


def _turn_message(schedule: Schedule, turn: Turn) -> ProgrammeTurn:
    begins = turn.begins.astimezone(schedule.zone).isoformat(timespec="seconds")
    return ProgrammeTurn(begins=begins, asks=json.loads(json.dumps(dict(turn.entry.asks), default=str)))
