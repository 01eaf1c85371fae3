"""Turns of the form: a section that begins, stays or ends as it was asked, or another piece. In: `Section`,
`SkipPiece`, `Steer` and `Cancel`.

Remembers nothing of its own: the turns belong to the form. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from moods.control import Cancel, Control, Section, SkipPiece, Steer
from moods.course import Course
from moods.glide import NEVER, Moment
from moods.part import Change, Edge, Lent, Pending, Reach
from moods.places import seam_beat
from moods.sections import Turn

_FILL_BEATS = 2
_AFTER_A_SEAM = "A"


class Turns:
    """Implements `moods.part.Part`: puts turns into the form of a course and takes them out.

    At one beat there is one that lets a section begin, and one that lets it stay or end: a later one replaces it.
    """

    name = "sections"

    def __init__(self, course: Course) -> None:
        self._course, self._form = course, course.form

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case Section():
                beat = seam_beat(self._course, control, edge)
                fill_beat = max(edge.beat, beat - _FILL_BEATS)
                return self._turn(control.do, control.to, beat, fill_beat, control.id, edge)
            case SkipPiece():
                beat = seam_beat(self._course, control, edge)
                return self._turn("skip", None, beat, max(edge.beat, beat - _FILL_BEATS), control.id, edge)
            case Steer(how="cut" | "bridge"):
                beat = seam_beat(self._course, control, edge)
                return self._turn("go", _AFTER_A_SEAM, beat, beat, control.id, edge)
            case Cancel():
                return self._cancel(control, edge)
            case _:
                return None

    def _turn(self, do: str, to: str | None, beat: int, fill_beat: int, control_id: str | None, edge: Edge) -> Change:
        turn = Turn(edge.number, control_id, beat, do, to)
        if turn.begins and fill_beat < beat:
            turn = replace(turn, fill_beat=fill_beat)
        replaced = [each for each in self._form.turns if each.beat == beat and each.begins == turn.begins]
        for old in replaced:
            if old.fill_beat is not None and old.fill_beat < edge.beat:  # what has begun to lead there does so
                turn = replace(turn, fill_beat=old.fill_beat)
        kept = [each for each in self._form.turns if each not in replaced]
        change = self._changed([*kept, turn], [turn, *replaced], edge)
        return replace(change, replaces=tuple(old.id for old in replaced if old.id is not None))

    def _cancel(self, control: Cancel, edge: Edge) -> Change | None:
        gone = [turn for turn in self._form.turns if turn.id == control.cancelled and _first_beat(turn) >= edge.beat]
        if not gone:
            return None
        return self._changed([turn for turn in self._form.turns if turn not in gone], gone, edge)

    def _changed(self, turns: list[Turn], changed: list[Turn], edge: Edge) -> Change:
        """Let the form follow, and say where."""
        course = self._course
        self._form.turn(edge.beat, turns)
        beat = min(turn.beat for turn in changed)
        course.revise(beat, beat)
        fields: dict[str, Reach] = {}
        for turn in changed:
            for name, reach in self._fields_of(turn).items():
                fields[name] = reach.joined(fields.get(name))
        first_beat = max(edge.beat, min(map(_first_beat, changed)))
        return Change(fields, first_beat, is_course_moved=True, effective_frame=course.clock.frame_of_beat(beat))

    def _fields_of(self, turn: Turn) -> dict[str, Reach]:
        """Where a section begins, and what leads there; of one that is left, where it ends."""
        clock = self._course.clock
        frame = clock.frame_of_beat(turn.beat)
        arrive = clock.frame_of_beat(self._form.section_of(turn.beat)[1]) if turn.do == "leave" else frame
        fields = {"piece" if turn.do == "skip" else "section": Reach(frame, arrive)}
        if turn.fill_beat is not None:
            fields["fill"] = Reach(clock.frame_of_beat(max(clock.oldest_beat, turn.fill_beat)), frame)
        return fields

    def pending(self, frame: int) -> Iterator[Pending]:
        first_beat = self._course.clock.beat_at(frame)
        for turn in self._form.turns:
            if turn.beat >= first_beat:
                kind = "skip" if turn.do == "skip" else "section"
                for name, reach in self._fields_of(turn).items():
                    if reach.arrive > frame:
                        yield Pending(turn.number, turn.id, kind, name, reach)

    def replan(self, edge: Edge) -> Change | None:
        return None  # what was asked for lies on beats

    def lend(self, lent: Lent, at: Moment) -> None:
        """Nothing: where a beat stands, the form says."""

    def holds_until(self, at: Moment) -> int:
        """No section is heard at once, but a piece brings its band."""
        skips = (turn.beat for turn in self._form.turns if turn.do == "skip" and turn.beat > at.beat)
        beat = min(skips, default=None)
        return NEVER if beat is None else self._course.clock.frame_of_beat(beat)

    def forget_before(self, at: Moment) -> None:
        self._form.forget_before(int(at.beat))

    def snapshot(self) -> dict[str, Any]:
        return self._form.snapshot()

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._form.restore(snapshot)


def _first_beat(turn: Turn) -> int:
    """The first that is composed otherwise."""
    return turn.beat if turn.fill_beat is None else turn.fill_beat
