"""Pivots: the bar before a change of key, in which the new key is already known.

In: the course and the first beat still open; out: pivots, and the key that lies ahead of a beat.
Remembers the pivots that are not yet over, so that what has been composed stays as it was. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from moods.control import Cancel, Control, Steer
from moods.course import Course
from moods.glide import NEVER, Moment
from moods.intent import BEATS_PER_BAR
from moods.part import Change, Edge, Lent, Pending, Reach, joined
from moods.places import seam_beat

_KEY_TRACKS = ("key", "mood.key")


class Pivot(NamedTuple):
    """On the beats from `first_beat` to before `end_beat` the music heads for `key`."""

    first_beat: int
    end_beat: int  # `key_beat`, or sooner where the key was taken back under way
    key_beat: int  # where the key was to begin
    key: tuple[int, str]  # tonic and scale
    is_bridge: bool = False  # it leads over a cut, be it into the same key


class Pivots:
    """Implements `moods.part.Part`: pivots into keys that are asked for, and into those that the form goes to.

    A change of key that leaves no whole bar before it open comes without one.
    """

    name = "pivots"

    def __init__(self, course: Course) -> None:
        self._course = course
        self._pivots: list[Pivot] = []
        self._bridges: list[tuple[int, str | None]] = []  # where cuts are that a bar leads over to, and whose they are

    def ahead_of(self, beat: int) -> Pivot | None:
        """The pivot that `beat` is part of, None where there is none; its key may be the one that sounds."""
        planned = next((pivot for pivot in self._pivots if pivot.first_beat <= beat < pivot.end_beat), None)
        return planned or self._by_form(beat)

    def _by_form(self, beat: int) -> Pivot | None:
        """The pivot into a key of the form's own, as far as that can be known from `beat` alone."""
        course, bar = self._course, beat // BEATS_PER_BAR
        if course.home_tonic(bar) == course.home_tonic(bar + 1):
            return None
        pieces = (course.form.piece_of(each * BEATS_PER_BAR) for each in (bar, bar + 1))
        if len(set(pieces)) > 1:
            return None  # another piece was asked for
        at = course.beat_moment(beat)
        if any(course.tracks[name].value(at) for name in _KEY_TRACKS):
            return None
        first_beat, key_beat = bar * BEATS_PER_BAR, (bar + 1) * BEATS_PER_BAR
        return Pivot(first_beat, key_beat, key_beat, (course.home_tonic(bar + 1), course.held(beat).scale))

    def lend(self, lent: Lent, at: Moment) -> None:
        beat = int(at.beat)
        pivot = self.ahead_of(beat)
        if pivot is not None and (pivot.is_bridge or pivot.key != self._course.key_at(at)):
            lent.key_ahead, lent.beats_to_key = pivot.key, pivot.key_beat - beat
            lent.is_bridge = pivot.is_bridge

    def holds_until(self, at: Moment) -> int:
        return NEVER  # what is heard at once does not look ahead

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:  # a new key is a ramp of the course; a pivot follows from it
            case Steer(how="bridge"):
                beat = seam_beat(self._course, control, edge)
                self._bridges = [row for row in self._bridges if row[0] != beat] + [(beat, control.id)]
            case Cancel():
                first = edge.beat + BEATS_PER_BAR
                self._bridges = [row for row in self._bridges if row[1] != control.cancelled or row[0] < first]
        return None

    def replan(self, edge: Edge) -> Change | None:
        """Keys may have changed on the open beats."""
        earliest_beat = edge.beat
        new = [pivot for pivot in self._wanted(earliest_beat) if self._is_open(pivot, earliest_beat)]
        for old in self._pivots:
            if old not in new and old.first_beat < earliest_beat:
                new.append(old._replace(end_beat=min(old.end_beat, earliest_beat)))
        new.sort(key=lambda pivot: pivot.end_beat)
        changed = set(new).symmetric_difference(self._pivots)
        self._pivots = new
        frame_of, changes = self._course.clock.frame_of_beat, list[Change]()
        for pivot in changed:
            if pivot.end_beat > earliest_beat:
                first_beat, end = max(pivot.first_beat, earliest_beat), frame_of(pivot.end_beat)
                reach = Reach(frame_of(first_beat), end)
                changes.append(Change({"bridge" if pivot.is_bridge else "pivot": reach}, first_beat))
        return joined(changes)

    def _wanted(self, earliest_beat: int) -> list[Pivot]:
        course, out = self._course, list[Pivot]()
        bridged = {beat for beat, _ in self._bridges}
        for beat in bridged:
            out.append(Pivot(beat - BEATS_PER_BAR, beat, beat, course.key_at(course.beat_moment(beat)), is_bridge=True))
        cut = {int(ramp.beat) for name in _KEY_TRACKS for ramp in course.tracks[name].ramps if ramp.is_exact}
        beats = {int(ramp.beat) for name in _KEY_TRACKS for ramp in course.tracks[name].ramps}
        beats |= {-(-turn.beat // BEATS_PER_BAR) * BEATS_PER_BAR for turn in course.form.turns if turn.do == "skip"}
        for beat in sorted(beat for beat in beats - bridged - cut if beat >= max(earliest_beat, 1)):
            key, bar = course.key_at(course.beat_moment(beat)), beat // BEATS_PER_BAR
            is_change = key != course.key_at(course.beat_moment(beat - 1))
            if is_change or course.home_tonic(bar) != course.home_tonic(bar - 1):  # the form is overruled
                out.append(Pivot(beat - BEATS_PER_BAR, beat, beat, key))
        return out

    def _is_open(self, pivot: Pivot, earliest_beat: int) -> bool:
        return pivot.first_beat >= earliest_beat or pivot in self._pivots

    def pending(self, frame: int) -> Iterator[Pending]:
        return iter(())  # what is to come of it the tracks say

    def forget_before(self, at: Moment) -> None:
        self._pivots = [pivot for pivot in self._pivots if pivot.end_beat > at.beat]
        self._bridges = [bridge for bridge in self._bridges if bridge[0] > at.beat]

    def snapshot(self) -> dict[str, Any]:
        return {"pivots": [list(pivot) for pivot in self._pivots], "bridges": [list(row) for row in self._bridges]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        rows = snapshot["pivots"]
        self._pivots = [Pivot(first, end, at, (key[0], key[1]), bridge) for first, end, at, key, bridge in rows]
        self._bridges = [(beat, control_id) for beat, control_id in snapshot["bridges"]]
