"""The autopilot at work: leg after leg of a slow way through mood space, around what people ask. In: where the music
is, and their controls; out: steers and pieces that it asks for itself.

Remembers the legs of the last hour, what it wanders around, and what it leaves alone. One thread at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from moods.autopilot import ALWAYS, Autopilot, Place, asked_fields, next_mood, next_place
from moods.clock import FRAMES_PER_SECOND
from moods.control import Cancel, Control, SkipPiece, Steer
from moods.course import Course
from moods.fields import MoodFields
from moods.form import INTRO_BARS
from moods.glide import NEVER, Moment
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR
from moods.mood import Mood, find_mood
from moods.part import Change, Edge, Lent, Pending, joined
from moods.places import next_beat
from moods.ramps import DRIFT_KEY
from moods.targets import point_of, targets_of

HOUR_FRAMES = 3600 * FRAMES_PER_SECOND
_PHRASE_BEATS = BARS_PER_PHRASE * BEATS_PER_BAR
_NOTICE_BEATS = 3 * BEATS_PER_BAR
"""A leg begins so long after it is planned at the earliest: nothing composed ahead changes, nor a bar that leads into a
new key."""

Ask = Callable[[Control, Edge], list[Change]]


class Leg(NamedTuple):
    """From `beat` on the music heads for a place."""

    beat: int
    frame: int  # where that was when it was planned
    place: Place
    centre: Place  # what was wandered around before


class Drift:
    """Implements `moods.part.Part`: the autopilot of a station; without settings it does nothing."""

    name = "autopilot"

    def __init__(
        self,
        course: Course,
        seed: int,
        settings: Autopilot | None,
        point: Mood,
        is_driven: Callable[[str], bool],
        ask: Ask,
    ) -> None:
        """`point` is where the music begins; `is_driven` tells the fields that parameters drive; `ask` has the other
        parts take a control."""
        self._course, self._seed, self._settings, self._is_driven, self._ask = course, seed, settings, is_driven, ask
        self._num_legs = 0
        self._next_beat = INTRO_BARS * BEATS_PER_BAR
        self._centre = self._place_of(point)
        self._legs = [Leg(0, 0, self._centre, self._centre)]
        self._held: dict[str, int] = {}  # to which frame each field stays as somebody has set it

    @property
    def settings(self) -> Autopilot | None:
        return self._settings

    @property
    def legs(self) -> list[Leg]:
        """Those of the last hour and the one that is to begin, by beat."""
        return self._legs

    def held(self, frame: int) -> dict[str, float]:
        """The fields that are left alone at `frame`, and for how many seconds."""
        return {name: (until - frame) / FRAMES_PER_SECOND for name, until in self._held.items() if until > frame}

    def is_due(self, beat: int) -> bool:
        """Is the next leg to be planned when `beat` is the first whose notes are open?"""
        return self._settings is not None and self._next_beat - beat <= _PHRASE_BEATS

    def plan(self, edge: Edge) -> Change | None:
        """Ask for the next leg, and for another piece where it is time for one."""
        settings, course = self._settings, self._course
        assert settings is not None
        beat = next_beat(course.form, "phrase", max(self._next_beat, edge.beat + _NOTICE_BEATS))
        frame, rng = course.clock.frame_of_beat(beat), random.Random(f"autopilot/{self._seed}/{self._num_legs}")
        there = edge._replace(frame=frame, beat=beat)
        held, before = self.held(frame), self._centre
        heard = [leg.place for leg in self._legs if leg.frame > frame - HOUR_FRAMES]
        fields: dict[str, Any] = {}
        if not held.keys() & {"mood", "style", *ALWAYS}:
            name = next_mood(settings, rng, self._centre.mood, heard)
            if name is not None:
                fields, self._centre = {"mood": name}, self._place_of(find_mood(name))
        place = next_place(settings, rng, self._centre, heard)
        fields |= {
            name: value for name, value in asked_fields(place).items() if name not in held and not self._is_driven(name)
        }
        key = f"{DRIFT_KEY}{self._num_legs}"
        changes = self._ask(
            Steer(set=MoodFields(**fields), over=f"{settings.leg_beats} beats", at="beat", id=key), there
        ) if fields else []  # fmt: skip
        if self._is_worn(beat, settings):
            changes += self._ask(SkipPiece(at="section", id=key), there)
        self._legs.append(Leg(beat, frame, place, before))
        self._num_legs += 1
        self._next_beat = beat + settings.leg_beats
        return joined(changes)

    def _is_worn(self, beat: int, settings: Autopilot) -> bool:
        """Has the piece that sounds at `beat` gone on for long enough, and does none wait?"""
        form = self._course.form
        if settings.piece_beats is None or any(turn.do == "skip" and turn.beat >= beat for turn in form.turns):
            return False
        return beat - form.piece_beat(beat) >= settings.piece_beats

    def _place_of(self, point: Mood) -> Place:
        fields = {name: float(getattr(point, name)) for name in ALWAYS}
        within = {} if self._settings is None else self._settings.within
        fields |= {name: (low + high) / 2 for name, (low, high) in within.items() if name not in fields}
        return Place(point.name or None, fields, point.style)

    def apply(self, control: Control, edge: Edge) -> Change | None:
        """Make way for a steer that is not its own; whatever else is asked is no affair of its."""
        if self._settings is None or not isinstance(control, Steer) or (control.id or "").startswith(DRIFT_KEY):
            return None
        change = self._give_way(edge)
        self._hold(control, edge, self._settings)
        return change

    def _give_way(self, edge: Edge) -> Change | None:
        """Take back the leg that has not begun; the next is put off."""
        changes: list[Change] = []
        leg = self._legs[-1]
        if leg.beat >= edge.beat > 0:
            changes = self._ask(Cancel(target=f"{DRIFT_KEY}{self._num_legs - 1}"), edge)
            self._legs.pop()
            self._centre, self._next_beat = leg.centre, leg.beat
        self._next_beat = max(self._next_beat, edge.beat + 2 * _PHRASE_BEATS)
        change = joined(changes)
        return None if change is None else Change({}, change.first_beat, change.is_course_moved)

    def _hold(self, control: Steer, edge: Edge, settings: Autopilot) -> None:
        """Leave alone what has been set, and wander around that from then on."""
        until = edge.frame + round(settings.hold_minutes * 60 * FRAMES_PER_SECOND)
        targets, point = targets_of(control.set), point_of(control.set)
        centre = self._centre if point is None else self._place_of(point)
        kept = {name: value for name, value in self._centre.fields.items() if point is None or name not in ALWAYS}
        set_fields = {name: float(targets[name]) for name in centre.fields if targets.get(name) is not None}
        self._centre = Place(centre.mood, centre.fields | kept | set_fields, targets.get("style", centre.style))
        named = {name for name in (*settings.fields, "style") if name in targets}
        self._held |= dict.fromkeys(named if point is None else {*named, "mood"}, until)

    def replan(self, edge: Edge) -> Change | None:
        return None  # legs lie on beats

    def lend(self, lent: Lent, at: Moment) -> None:
        """Nothing: what was asked for is other parts' to lend."""

    def holds_until(self, at: Moment) -> int:
        return NEVER

    def pending(self, frame: int) -> Iterator[Pending]:
        return iter(())  # what is to come of it the tracks say

    def forget_before(self, at: Moment) -> None:
        self._legs = [leg for leg in self._legs if leg.frame > at.frame - HOUR_FRAMES] or self._legs[-1:]
        self._held = {name: until for name, until in self._held.items() if until > at.frame}

    def snapshot(self) -> dict[str, Any]:
        return {
            "num_legs": self._num_legs,
            "next_beat": self._next_beat,
            "centre": list(self._centre),
            "legs": [[leg.beat, leg.frame, list(leg.place), list(leg.centre)] for leg in self._legs],
            "held": self._held,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._num_legs, self._next_beat = snapshot["num_legs"], snapshot["next_beat"]
        self._centre, self._held = _place(snapshot["centre"]), dict(snapshot["held"])
        self._legs = [Leg(beat, frame, _place(to), _place(of)) for beat, frame, to, of in snapshot["legs"]]


def _place(row: list[Any]) -> Place:
    mood, fields, style = row
    return Place(mood, dict(fields), tuple(style))
