"""What a part of a course is: one kind of thing that can be asked for, from ramps to endings.

In: controls, as they come; out: what they change, and what the part lends to each intent. Remembers nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from moods.clock import Clock
from moods.control import Control
from moods.form import FormPosition
from moods.glide import Moment
from moods.tune import Tune


class Edge(NamedTuple):
    """How far the music has been made when a control comes: what lies before does not change any more."""

    frame: int  # the first music frame that is not made
    beat: int  # the first beat (from 0) whose notes are open
    number: int = 0  # of the control, of all that came
    ahead_s: float = 0.0  # so far ahead anything may be asked for, also where a part would else allow less


class Reach(NamedTuple):
    """Where a field begins to change, and where it has arrived: music frames."""

    begin: int
    arrive: int

    def joined(self, other: Reach | None) -> Reach:
        """From where the first begins to where the last has arrived."""
        return self if other is None else Reach(min(self.begin, other.begin), max(self.arrive, other.arrive))


def at_once(frame: int) -> Reach:
    return Reach(frame, frame)


@dataclass(frozen=True, slots=True)
class Change:
    """What a part does otherwise from now on."""

    fields: dict[str, Reach]
    first_beat: int | None = None  # the first beat that may be composed otherwise; None: all are as they were
    is_course_moved: bool = False  # tempo or keys may be otherwise from that beat on, so that all parts replan
    effective_frame: int | None = None  # the audible change, where that is not the earliest of `fields`
    replaces: tuple[str, ...] = ()  # ids of the controls of which something that was to come does not


class Pending(NamedTuple):
    """One field of what a control asked for that has not begun, or has not arrived."""

    number: int | None  # of the control, where it has no id
    id: str | None
    type: str
    field: str
    reach: Reach


def least(numbers: Iterable[int | None]) -> int | None:
    """The smallest of those that are there."""
    return min((number for number in numbers if number is not None), default=None)


def joined(changes: Sequence[Change], **also: Reach) -> Change | None:
    """Several changes as one, with further fields; None where there is none."""
    if not changes:
        return None
    fields = dict(also)
    for change in changes:
        for name, reach in change.fields.items():
            fields[name] = reach.joined(fields.get(name))
    effective = least(change.effective_frame for change in changes)
    is_moved = any(change.is_course_moved for change in changes)
    replaces = tuple(dict.fromkeys(control_id for change in changes for control_id in change.replaces))
    return Change(fields, least(change.first_beat for change in changes), is_moved, effective, replaces)


def change_from(beats: Iterable[int], clock: Clock, field: str) -> Change | None:
    """A change of what was planned, from the first of `beats` on; None where there is none."""
    beat = min(beats, default=None)
    return None if beat is None else Change({field: at_once(clock.frame_of_beat(beat))}, beat)


@dataclass(slots=True)
class Lent:
    """What the parts lend to one intent, beside what the course itself says there."""

    position: FormPosition
    beats_to_end: int | None = None
    ring_beats: float = 0.0
    gain_db: float = 0.0
    cue: str = "none"
    hit_offset: float = 0.0
    hit_strength: float = 0.0
    stinger: tuple[str, float] | None = None
    stinger_over: int | None = None
    theme: tuple[Tune, int] | None = None
    key_ahead: tuple[int, str] | None = None
    beats_to_key: int | None = None
    is_bridge: bool = False


class Part(Protocol):
    """One part of a course. Reads are pure; the controller alone changes it, one thread at a time."""

    name: str
    """In a snapshot."""

    def apply(self, control: Control, edge: Edge) -> Change | None:
        """Apply a control, changing nothing before `edge`; None where it asks nothing of this part.

        Raises `MoodsError` and leaves all as it was.
        """

    def replan(self, edge: Edge) -> Change | None:
        """Fit what was planned to beats and keys that have moved; None where nothing changes."""

    def lend(self, lent: Lent, at: Moment) -> None:
        """Say what the part has to say of the intent at `at`; parts that come later see it."""

    def holds_until(self, at: Moment) -> int:
        """The first frame after `at` at which what the part lends to what is heard may be otherwise."""

    def pending(self, frame: int) -> Iterable[Pending]:
        """What was asked for and has not arrived at `frame`."""

    def forget_before(self, at: Moment) -> None:
        """Forget what no read at `at`, where a beat begins, or later depends on."""

    def snapshot(self) -> Any:
        """Everything remembered, as JSON values."""

    def restore(self, snapshot: Any) -> None:
        """Remember what `snapshot` holds; the parts before this one have been restored."""
