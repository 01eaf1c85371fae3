"""A station as its chat sees it. In: the conductor and the station's name; out: its state, acks, events told.

Remembers nothing: the station of that name may be another tomorrow. Event loop only.
"""

from __future__ import annotations

from typing import Any

from engine.audio import SAMPLE_RATE
from moods.intent import BEATS_PER_BAR
from streaming.conductor import Conductor
from streaming.errors import UnknownStation
from streaming.live import apply_control
from streaming.messages import Answer, Error, Place, StationState, Vote
from streaming.station import Station


class StationMusic:
    """Implements `streaming.chat.desk.Music`."""

    def __init__(self, conductor: Conductor, address: str) -> None:
        self._conductor, self._address = conductor, address

    def _station(self) -> Station | None:
        try:
            return self._conductor.station(self._address)
        except UnknownStation:
            return None

    def state(self) -> StationState | None:
        station = self._station()
        return None if station is None else station.state()

    def place_of(self, bar: float) -> Place:
        station = self._station()
        at = Place(frame=0, seconds=0.0, bar=1, beat=1, bpm=120.0) if station is None else station.position()
        beat = round(bar * BEATS_PER_BAR)
        num_beats = max(0, beat - ((at["bar"] - 1) * BEATS_PER_BAR + at["beat"] - 1))
        frame = at["frame"] + round(num_beats * 60 * SAMPLE_RATE / at["bpm"])
        own_bar, own_beat = divmod(beat, BEATS_PER_BAR)
        return Place(frame=frame, seconds=frame / SAMPLE_RATE, bar=own_bar + 1, beat=own_beat + 1, bpm=at["bpm"])

    async def ask(self, control: dict[str, Any]) -> Answer:
        station = self._station()
        if station is None:
            detail = str(UnknownStation(self._address))
            return Error(type="error", id=control.get("id"), code=UnknownStation.code, detail=detail)
        return await apply_control(self._conductor, station, control)

    def tell(self, vote: Vote) -> None:
        if (station := self._station()) is not None:
            station.tell_vote(vote)
