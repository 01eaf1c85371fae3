"""Hits and stingers: where they were asked to sound, and what that asks of each beat.

In: `Hit` and `Stinger` controls; out: cues and stingers of beats, places for acks and events.
Remembers those that are not yet over, as plain data. One thread at a time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Any

from moods.clock import FRAMES_PER_SECOND, Clock
from moods.control import At, Hit, Stinger
from moods.ending import BEATS
from moods.errors import OutOfRange
from moods.form import place_at
from moods.intent import num_cut_beats
from moods.stinger import find_stinger

MAX_AHEAD_SECONDS = 3600.0
"""How far ahead a place in seconds may lie: the tempo map is worked out up to there at once."""
FILL_SHARE = 0.6
"""Share of the section changes that a drum fill leads into."""
FILL_ENERGY = 0.6
"""From this energy on such a fill takes two beats."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A hit or stinger in beats and frames."""

    number: int  # of all that were asked for, from 0
    id: str | None
    stinger: str | None  # its name; None is a hit
    strength: float  # of a hit, 0 … 1
    beat: int  # where it sounds, from 0
    offset: float  # and where in that beat, 0 … 1
    frame: int | None  # where it was asked for in seconds: it stays there when the tempo changes
    fill_beat: int | None  # the pickup into a hit; None: there was no time for one

    @property
    def first_beat(self) -> int:
        """The first beat that it changes."""
        return self.beat if self.fill_beat is None else self.fill_beat

    @property
    def last_beat(self) -> int:
        if self.stinger is None:
            return self.beat + num_cut_beats(self.beat, self.strength)
        return self.beat + ceil(self.offset + find_stinger(self.stinger).beats) - 1


@lru_cache(maxsize=1024)
def is_filled(seed: int, bar: int) -> bool:
    """Does a drum fill lead from `bar` (from 0) into a section that begins after it?"""
    return place_at(seed, bar).bars_to_change == 0 and random.Random(f"fill/{seed}/{bar}").random() < FILL_SHARE


class Cues:
    """All hits and stingers of a station that are not yet over.

    At one beat there is one hit and one stinger: a later one takes the place of an earlier one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._planned: list[Planned] = []
        self._num_asked = 0

    # --- reads -----------------------------------------------------------------------------------------------------

    def cue_at(self, beat: int) -> tuple[str, Planned | None]:
        """The cue that the hits give to `beat`, and the hit if it is one."""
        cue = "none"
        for planned in self._planned:
            if planned.stinger is not None:
                continue
            if planned.beat == beat:
                return "hit", planned
            if planned.fill_beat == beat:
                cue = "fill"
            elif planned.beat < beat <= planned.last_beat and cue == "none":
                cue = "cut"
        return cue, None

    def stinger_at(self, beat: int) -> tuple[str, float] | None:
        """The stinger of `beat` and the beats since it began; of two the one that began later."""
        under_way = [p for p in self._planned if p.stinger is not None and p.beat <= beat <= p.last_beat]
        if not under_way:
            return None
        latest = max(under_way, key=lambda planned: planned.beat)
        assert latest.stinger is not None
        return latest.stinger, beat - latest.beat - latest.offset

    def within(self, first_beat: int, last_beat: int) -> Iterator[Planned]:
        """What sounds on the beats `first_beat` … `last_beat`."""
        return (planned for planned in self._planned if first_beat <= planned.beat <= last_beat)

    def frame_of(self, planned: Planned) -> int:
        """The frame at which it sounds."""
        return self._clock.frame_of_beat(planned.beat) if planned.frame is None else planned.frame

    # --- changes ---------------------------------------------------------------------------------------------------

    def plan(self, control: Hit | Stinger, earliest_beat: int) -> Planned:
        """Work out where a control sounds; `earliest_beat` is the first still open. Changes nothing.

        Raises `OutOfRange` for a place in seconds before that beat or too far ahead.
        """
        frame = None
        if isinstance(control.at, At):
            frame = round(control.at.seconds * FRAMES_PER_SECOND)
            soonest = self._clock.frame_of_beat(earliest_beat)
            if not soonest <= frame <= soonest + MAX_AHEAD_SECONDS * FRAMES_PER_SECOND:
                low = ceil(soonest / FRAMES_PER_SECOND * 100) / 100
                raise OutOfRange("at.seconds", control.at.seconds, low, low + MAX_AHEAD_SECONDS)
            beat, offset = self._place(frame)
        else:
            beat, offset = -(-earliest_beat // BEATS[control.at]) * BEATS[control.at], 0.0
        if isinstance(control, Stinger):
            return Planned(self._num_asked, control.id, control.name, 0.0, beat, offset, frame, None)
        # A pickup that has begun stays, though the hit it belonged to is replaced.
        fill_beats = [p.fill_beat for p in self._same_place(None, beat)] if beat == earliest_beat else [beat - 1]
        fill_beat = next(iter(fill_beats), None)
        return Planned(self._num_asked, control.id, None, control.strength, beat, offset, frame, fill_beat)

    def add(self, planned: Planned) -> None:
        """Take in what was planned; it takes the place of its like at the same beat."""
        replaced = self._same_place(planned.stinger, planned.beat)
        self._planned = [p for p in self._planned if p not in replaced] + [planned]
        self._num_asked += 1

    def _same_place(self, stinger: str | None, beat: int) -> list[Planned]:
        """The hits, or the stingers, at `beat`."""
        return [p for p in self._planned if p.beat == beat and (p.stinger is None) == (stinger is None)]

    def cancel(self, control_id: str, earliest_beat: int) -> list[Planned]:
        """Take out and return what the control asked for and has not begun."""
        gone = [p for p in self._planned if p.id == control_id and p.first_beat >= earliest_beat]
        self._planned = [p for p in self._planned if p not in gone]
        return gone

    def replan(self, earliest_beat: int) -> int | None:
        """Fit what was asked for in seconds to a changed tempo; return the first beat that this changes."""
        changed: list[int] = []
        for index, old in enumerate(self._planned):
            if old.frame is None or old.beat < earliest_beat:
                continue
            beat, offset = self._place(old.frame)
            fill_beat = old.fill_beat
            if old.stinger is None and (fill_beat is None or fill_beat >= earliest_beat):
                fill_beat = beat - 1 if beat > earliest_beat else None
            new = replace(old, beat=beat, offset=offset, fill_beat=fill_beat)
            if new != old:
                self._planned[index] = new
                changed += [beat for p in (old, new) for beat in (p.beat, p.first_beat) if beat >= earliest_beat]
        return min(changed, default=None)

    def _place(self, frame: int) -> tuple[int, float]:
        beats = self._clock.beats_at(frame)
        return int(beats), beats - int(beats)

    # --- memory ----------------------------------------------------------------------------------------------------

    def forget_before(self, beat: int) -> None:
        self._planned = [planned for planned in self._planned if planned.last_beat >= beat]

    def snapshot(self) -> dict[str, Any]:
        return {"num_asked": self._num_asked, "planned": [asdict(planned) for planned in self._planned]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._num_asked = snapshot["num_asked"]
        self._planned = [Planned(**row) for row in snapshot["planned"]]
