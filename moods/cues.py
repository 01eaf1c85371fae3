"""Hits and stingers: where they were asked to sound, and what that asks of each beat.

In: `Hit` and `Stinger` controls; out: cues and stingers of beats, and where they sound for acks and events.
Remembers those that are not yet over, as plain data. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from operator import attrgetter
from typing import Any

from moods.clock import FRAMES_PER_SECOND
from moods.control import Cancel, Control, Hit, Steer, Stinger
from moods.course import Course
from moods.ending import Ending
from moods.errors import BadControl, OutOfRange
from moods.fields import OnBeat, Seconds
from moods.glide import NEVER, Moment
from moods.intent import num_cut_beats
from moods.part import Change, Edge, Lent, Pending, Reach, at_once, change_from
from moods.places import MAX_AHEAD_SECONDS, next_beat, seam_beat
from moods.stinger import StingerFigure, find_stinger

_SEAM_STRENGTH = 0.49
"""Of the hit that marks a cut to full energy: as strong as one may be after which the music goes on at once."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A hit or stinger in beats and frames."""

    number: int  # of all that were asked for, from 0
    id: str | None
    stinger: str | None  # its name; None is a hit
    strength: float  # of a hit, 0 … 1
    beat: int  # where it sounds, from 0
    offset: float  # and where in that beat, 0 … 1
    frame: int | None  # where it was asked for in seconds or now: it stays there when the tempo changes
    fill_beat: int | None  # the pickup into a hit; None: there was no time for one
    asked: int = 0  # the number of its control, of all controls
    is_mark: bool = False  # it marks a cut: laid over a beat that is composed anew
    is_over: bool = False  # laid over a beat that was composed, or sounded, when it was asked for
    beats: int = 0  # how long a stinger is

    @property
    def first_beat(self) -> int:
        """The first beat that is composed otherwise."""
        if self.is_over and not self.is_mark:
            return self.beat + 1
        return self.beat if self.fill_beat is None else self.fill_beat

    @property
    def last_beat(self) -> int:
        if self.stinger is None:
            return self.beat + num_cut_beats(self.beat, self.strength)
        return self.beat + ceil(self.offset + self.beats) - 1


def _begun(planned: Cue) -> tuple[float, int]:
    """The order of beginning; of two that begin together the one asked for later is last."""
    return planned.beat + planned.offset, planned.number


_Likeness = tuple[bool, bool, bool, int | None]


def _likeness(planned: Cue) -> _Likeness:
    """Hit or stinger, laid over or composed, a mark, and at which frame or beat: of each there is one."""
    is_over = planned.is_over and not planned.is_mark
    return planned.stinger is None, planned.is_over, planned.is_mark, planned.frame if is_over else planned.beat


class Cues:
    """Implements `moods.part.Part`: all hits and stingers of a station that are not yet over.

    At one beat there is one hit and one stinger composed into it: a later one replaces an earlier one. What is asked
    for now is laid over the running beat, at its own frame; so is a hit in seconds where no beat can be composed around
    it: the second in a beat, within the very first, over the last chord.
    """

    name = "cues"

    def __init__(self, course: Course, ending: Ending, own: Mapping[str, StingerFigure]) -> None:
        """`own` are the station's own stingers."""
        self._course, self._clock, self._ending, self._own = course, course.clock, ending, own
        self._num_asked = 0
        self._remember([])

    def _remember(self, planned: list[Cue]) -> None:
        """In the order in which they were asked for; and by what they are like, for there may be thousands."""
        self._planned = planned
        self._alike: dict[_Likeness, list[Cue]] = {}
        for each in planned:
            self._alike.setdefault(_likeness(each), []).append(each)

    # --- reads -----------------------------------------------------------------------------------------------------

    def find_stinger(self, name: str) -> StingerFigure:
        """Raises `UnknownStinger`."""
        return find_stinger(name, self._own)

    def cue_at(self, beat: int) -> tuple[str, Cue | None]:
        """The cue that the hits give to `beat`, and the hit that strikes it or rings in it."""
        cue, ringing = "none", None
        for planned in sorted((p for p in self._planned if p.stinger is None), key=_begun):
            if planned.beat == beat and not planned.is_over:
                return "hit", planned
            if planned.fill_beat == beat:
                cue, ringing = "fill", None
            elif planned.beat < beat <= planned.last_beat and cue != "fill":
                cue, ringing = "cut", planned
        return cue, ringing

    def stinger_at(self, beat: int) -> Cue | None:
        """The stinger that `beat` is composed with: of those under way the one that began last, unless a hit that
        came after it strikes or rings there. What is laid over the music is not silenced by a hit before or with it."""
        stingers = (p for p in self._planned if p.stinger is not None)
        stinger = max((p for p in stingers if p.first_beat <= beat <= p.last_beat), key=_begun, default=None)
        _, hit = self.cue_at(beat)
        if stinger is not None and hit is not None and not (stinger.is_over and _begun(stinger)[0] >= _begun(hit)[0]):
            return None
        return stinger

    def over_before(self, frame: int) -> list[Cue]:
        """What is laid over the music and has begun before `frame`, in the order of beginning; it may be over."""
        over = sorted((p for p in self._planned if p.is_over and self.frame_of(p) < frame), key=_begun)
        return [replace(p, frame=self.frame_of(p)) if p.is_mark else p for p in over]

    def within(self, first_beat: int, last_beat: int) -> Iterator[Cue]:
        """What sounds on the beats `first_beat` … `last_beat`."""
        return (planned for planned in self._planned if first_beat <= planned.beat <= last_beat)

    def named(self) -> list[tuple[str, int, OnBeat | None]]:
        """The ids of the hits and stingers that have one, where they begin and, of what goes with the tempo, on which
        beat; but for what began too long ago."""
        known = [planned for planned in self._planned if planned.beat >= self._clock.oldest_beat]
        return [
            (planned.id, self.frame_of(planned), OnBeat(beat=planned.beat) if planned.frame is None else None)
            for planned in known
            if planned.id is not None
        ]

    def frame_of(self, planned: Cue) -> int:
        """The frame at which it sounds."""
        return self._clock.frame_of_beat(planned.beat) if planned.frame is None else planned.frame

    def lend(self, lent: Lent, at: Moment) -> None:
        beat = int(at.beat)
        if not self._planned or (lent.beats_to_end is not None and lent.beats_to_end < 0):
            return
        lent.cue, hit = self.cue_at(beat)
        if hit is not None and lent.cue == "hit":
            lent.hit_offset, lent.hit_strength = hit.offset, hit.strength
        stinger = self.stinger_at(beat)
        if stinger is not None and stinger.stinger is not None:
            lent.stinger = (stinger.stinger, beat - stinger.beat - stinger.offset)
            lent.stinger_over = stinger.number if stinger.is_over else None

    def holds_until(self, at: Moment) -> int:
        return NEVER  # what is heard at once follows from no cue

    # --- changes ---------------------------------------------------------------------------------------------------

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case Hit() | Stinger():
                return self._cue(control, edge)
            case Steer(how="cut" | "bridge"):
                return self._mark(seam_beat(self._course, control, edge), control.id, edge)
            case Cancel():
                return self._cancel(control, edge)
            case _:
                return None

    def _cue(self, control: Hit | Stinger, edge: Edge) -> Change:
        if isinstance(control, Stinger):
            figure = self.find_stinger(control.name)
            planned = replace(self._plan(control, edge), stinger=figure.name, beats=figure.beats)
        else:
            planned = replace(self._plan(control, edge), asked=edge.number)
        frame, end_frame = self.frame_of(planned), self._ending.end_frame
        if end_frame is not None and self._ending.is_after(planned.beat, frame):
            seconds = end_frame / FRAMES_PER_SECOND
            raise BadControl(f"{control.type} comes too late: the music ends at {seconds:.2f} s; ask for it earlier")
        replaces = self._add(planned)
        return Change(self._fields_of(planned), max(edge.beat, planned.first_beat), False, frame, replaces)

    def _mark(self, beat: int, control_id: str | None, edge: Edge) -> Change | None:
        """A hit where the music is cut, laid over the first beat of what begins there so that this goes on at once; and
        what leads there if there is time."""
        if self._ending.is_after(beat, self._clock.frame_of_beat(beat)):
            return None
        strength = _SEAM_STRENGTH * self._course.tracks["energy"].value(self._course.beat_moment(beat))
        planned = Cue(self._num_asked, control_id, None, strength, beat, 0.0, None, None, is_mark=True, is_over=True)
        planned = replace(planned, fill_beat=self._fill_beat(planned, edge), asked=edge.number)
        replaces, frame = self._add(planned), self.frame_of(planned)
        return Change(self._fields_of(planned), max(edge.beat, planned.first_beat), False, frame, replaces)

    def _cancel(self, control: Cancel, edge: Edge) -> Change | None:
        """Remove what the control asked for and has not begun."""

        def is_waiting(p: Cue) -> bool:
            is_over = p.is_over and not p.is_mark
            return self.frame_of(p) >= edge.frame if is_over else p.first_beat >= edge.beat

        gone = [p for p in self._planned if p.id == control.cancelled and is_waiting(p)]
        if not gone:
            return None
        self._remember([p for p in self._planned if p not in gone])
        fields = {name: reach for planned in gone for name, reach in self._fields_of(planned).items()}
        return Change(fields, min(planned.first_beat for planned in gone))

    def _fields_of(self, planned: Cue) -> dict[str, Reach]:
        """Where a hit or stinger sounds, and where its pickup begins."""
        frame = self.frame_of(planned)
        fields = {"hit" if planned.stinger is None else "stinger": at_once(frame)}
        if planned.fill_beat is not None:
            fill_beat = max(self._clock.oldest_beat, planned.fill_beat)
            fields["pickup"] = Reach(self._clock.frame_of_beat(fill_beat), frame)
        return fields

    def _plan(self, control: Hit | Stinger, edge: Edge) -> Cue:
        """Work out where it sounds.

        Changes nothing. Raises `OutOfRange` for a position in seconds before the first open beat or too far ahead.
        """
        if control.at == "now":
            return self._plan_over(control, edge.frame, edge.beat - 1)
        return self._plan_into(control, edge)

    def _plan_over(self, control: Hit | Stinger, frame: int, beat: int) -> Cue:
        """At once, over `beat`, the last that is not open: at its beginning if that is still ahead, for an accent
        just before a beat would be heard as one that came too early."""
        start, end = self._clock.frame_of_beat(beat), self._clock.frame_of_beat(beat + 1)
        frame = max(frame, start)
        stinger, strength = (control.name, 0.0) if isinstance(control, Stinger) else (None, control.strength)
        offset = (frame - start) / (end - start)
        return Cue(self._num_asked, control.id, stinger, strength, beat, offset, frame, None, is_over=True)

    def _plan_into(self, control: Hit | Stinger, edge: Edge) -> Cue:
        """Composed into a beat that is open."""
        frame, earliest_beat, ahead_s = None, edge.beat, max(MAX_AHEAD_SECONDS, edge.ahead_s)
        if isinstance(control.at, Seconds):
            frame = round(control.at.seconds * FRAMES_PER_SECOND)
            soonest = self._clock.frame_of_beat(earliest_beat)
            if not soonest <= frame <= soonest + ahead_s * FRAMES_PER_SECOND:
                low = ceil(soonest / FRAMES_PER_SECOND * 100) / 100
                raise OutOfRange("at.seconds", control.at.seconds, low, low + ahead_s)
            beat, offset = self._beat_and_offset(frame)
        else:
            assert isinstance(control.at, str | OnBeat), control.at
            beat, offset = next_beat(self._course.form, control.at, earliest_beat), 0.0
        if isinstance(control, Stinger):
            return Cue(self._num_asked, control.id, control.name, 0.0, beat, offset, frame, None)
        # A pickup that has begun stays, though the hit it belonged to is replaced.
        planned = Cue(self._num_asked, control.id, None, control.strength, beat, offset, frame, None)
        if self._must_lie_over(planned):
            return replace(planned, is_over=True)
        return replace(planned, fill_beat=self._fill_beat(planned, edge))

    def _fill_beat(self, hit: Cue, edge: Edge) -> int | None:
        """The beat that leads into a hit; None where that is not open any more."""
        if hit.beat > edge.beat:
            return hit.beat - 1
        return next((p.fill_beat for p in self._likes_of(hit)), None)

    def _must_lie_over(self, hit: Cue) -> bool:
        """Does a beat that is open leave no room to be composed around the hit?"""
        if hit.frame is None:
            return False
        if (hit.beat == 0 and hit.offset > 0) or self._ending.is_after(hit.beat, hit.frame):
            return True
        others = self._likes_of(replace(hit, is_over=False))
        return any(p.number != hit.number and p.frame is not None and p.frame < hit.frame for p in others)

    def _add(self, planned: Cue) -> tuple[str, ...]:
        """Add what was planned; it replaces its like at the same beat, or frame where it is laid over: whose ids?"""
        if replaced := self._likes_of(planned):
            self._remember([p for p in self._planned if p not in replaced])
        self._planned.append(planned)
        self._alike.setdefault(_likeness(planned), []).append(planned)
        self._num_asked += 1
        return tuple(like.id for like in replaced if like.id is not None)

    def _likes_of(self, planned: Cue) -> list[Cue]:
        """The hits, if `planned` is one, or the stingers, at the same beat or frame, in the order of asking."""
        return sorted(self._alike.get(_likeness(planned), ()), key=attrgetter("number"))

    def replan(self, edge: Edge) -> Change | None:
        """Fit what was asked for in seconds to a changed tempo."""
        changed: list[int] = []
        for index in sorted(range(len(self._planned)), key=lambda index: _begun(self._planned[index])):
            old = self._planned[index]
            if old.frame is None or old.beat < edge.beat:
                continue
            beat, offset = self._beat_and_offset(old.frame)
            new = replace(old, beat=beat, offset=offset)
            if old.stinger is None:
                is_over, fill_beat = self._must_lie_over(new), old.fill_beat
                if fill_beat is None or fill_beat >= edge.beat:
                    fill_beat = beat - 1 if beat > edge.beat and not is_over else None
                new = replace(new, fill_beat=fill_beat, is_over=is_over)
            if new != old:
                self._planned[index] = new
                self._alike[_likeness(old)].remove(old)
                self._alike.setdefault(_likeness(new), []).append(new)
                changed += [beat for p in (old, new) for beat in (p.beat, p.first_beat) if beat >= edge.beat]
        return change_from(changed, self._clock, "cues")

    def _beat_and_offset(self, frame: int) -> tuple[int, float]:
        beats = self._clock.beats_at(frame)
        return int(beats), beats - int(beats)

    def pending(self, frame: int) -> Iterator[Pending]:
        beat = self._clock.beat_at(frame)
        for planned in (each for each in self._planned if each.beat >= beat):
            kind = "steer" if planned.is_mark else "hit" if planned.stinger is None else "stinger"
            for field, reach in self._fields_of(planned).items():
                if reach.arrive > frame:
                    yield Pending(planned.asked, planned.id, kind, field, reach)

    # --- memory ----------------------------------------------------------------------------------------------------

    def forget_before(self, at: Moment) -> None:
        self._remember([planned for planned in self._planned if planned.last_beat >= at.beat])

    def snapshot(self) -> dict[str, Any]:
        return {"num_asked": self._num_asked, "planned": [asdict(planned) for planned in self._planned]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._num_asked = snapshot["num_asked"]
        self._remember([Cue(**row) for row in snapshot["planned"]])
