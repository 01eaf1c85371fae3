"""Steers one station for a part of this server. In: orders; out: controls, as from any client of the live channel.

Remembers what has not been asked for yet. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Self

from streaming.conductor import Conductor
from streaming.errors import UnknownStation
from streaming.journal import about
from streaming.live import Hearing
from streaming.messages import Answer
from streaming.orders import Order
from streaming.station import Station

log = logging.getLogger(__name__)

_MAX_WAITING = 64


class Hand:
    """Acts on the station of a name, whichever that is by then; where there is none, what is asked is let go.

    Use as `async with Hand(conductor, "main", by="obs")`.
    """

    def __init__(self, conductor: Conductor, station: str, *, by: str) -> None:
        self._conductor, self._name, self._by = conductor, station, by
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MAX_WAITING)
        self._hearing: tuple[Station, Hearing] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work_off())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def station(self) -> Station | None:
        """None where there is none of that name."""
        try:
            return self._conductor.station(self._name)
        except UnknownStation:
            return None

    def give(self, order: Order, control_id: str | None = None) -> None:
        """Have an order carried out after those before it; music that has ended begins again for it."""
        controls: Sequence[dict[str, Any]] = [control.asked() for control in order.controls]
        if order.starts and (station := self.station) is not None and station.playing()["state"] == "ended":
            controls = [{"type": "transport", "do": "play"}, *controls]
        for control in controls:
            self.ask({"id": control_id, **control} if control_id is not None else control)

    def ask(self, control: dict[str, Any]) -> None:
        """The same with one control."""
        try:
            self._waiting.put_nowait({**control, "by": self._by})
        except asyncio.QueueFull:
            log.warning("too much is asked of a station at once", extra=about(station=self._name, by=self._by))

    async def _work_off(self) -> None:
        while True:
            control = await self._waiting.get()
            if (station := self.station) is not None:
                await self._hearing_of(station).take(control)

    def _hearing_of(self, station: Station) -> Hearing:
        if self._hearing is None or self._hearing[0] is not station:
            self._hearing = station, Hearing(self._conductor, station, self._note_refusal, may_steer=True)
        return self._hearing[1]

    def _note_refusal(self, answer: Answer) -> None:
        if answer["type"] == "error":
            facts = about(station=self._name, by=self._by, code=answer["code"], detail=answer["detail"])
            log.warning("an order was refused", extra=facts)
