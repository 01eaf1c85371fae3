"""Halts: where music is to pause or to begin again. In: `Transport` controls with a place; out: the halt that is due.

Remembers the one that waits. Who makes the sound asks for what is due, and does it. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from moods.control import Cancel, Control, Panic, Transport
from moods.course import Course
from moods.fields import OnBeat, Seconds
from moods.glide import NEVER, Moment
from moods.part import Change, Edge, Lent, Pending, at_once
from moods.places import frame_of_second, next_beat


class Halt(NamedTuple):
    """A pause or restart that waits for its place."""

    do: str
    beat: int  # where, unless it is asked for in seconds
    frame: int | None  # there it stays when the tempo changes
    id: str | None
    number: int  # of its control


class Halts:
    """Implements `moods.part.Part`: one halt waits at a time; whatever is asked of the transport later replaces it."""

    name = "halts"

    def __init__(self, course: Course) -> None:
        self._course = course
        self._waiting: Halt | None = None

    def frame(self) -> int | None:
        """Where the halt is that waits."""
        halt = self._waiting
        if halt is None:
            return None
        return self._course.clock.frame_of_beat(halt.beat) if halt.frame is None else halt.frame

    def take(self) -> str:
        """What is to be done there; it waits no longer."""
        assert self._waiting is not None
        halt, self._waiting = self._waiting, None
        return halt.do

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case Transport(do="pause" | "restart", at=at) if at != "now":
                return self._wait(control, edge)
            case Panic() | Transport(do="play" | "pause" | "restart"):
                return self._drop()
            case Cancel() if self._waiting is not None and self._waiting.id == control.cancelled:
                return self._drop()
            case _:
                return None

    def _wait(self, control: Transport, edge: Edge) -> Change:
        """Raises `OutOfRange`."""
        frame, beat = None, edge.beat
        if isinstance(control.at, Seconds):
            frame = frame_of_second(control.at, edge)
        else:
            assert isinstance(control.at, str | OnBeat), control.at
            beat = next_beat(self._course.form, control.at, edge.beat)
        dropped = self._drop()
        self._waiting = Halt(control.do, beat, frame, control.id, edge.number)
        there = self.frame()
        assert there is not None
        return Change(
            {"transport": at_once(there)}, effective_frame=there, replaces=() if dropped is None else dropped.replaces
        )

    def _drop(self) -> Change | None:
        if self._waiting is None:
            return None
        halt, self._waiting = self._waiting, None
        return Change({}, replaces=() if halt.id is None else (halt.id,))

    def replan(self, edge: Edge) -> Change | None:
        return None  # a halt lies on a beat, or where it was asked for

    def lend(self, lent: Lent, at: Moment) -> None:
        """Nothing: the music stands, and is as it was."""

    def holds_until(self, at: Moment) -> int:
        return NEVER

    def pending(self, frame: int) -> Iterator[Pending]:
        there = self.frame()
        if self._waiting is not None and there is not None and there > frame:
            yield Pending(self._waiting.number, self._waiting.id, "transport", "transport", at_once(there))

    def forget_before(self, at: Moment) -> None:
        """Nothing: what is due has been taken."""

    def snapshot(self) -> list[Any] | None:
        return None if self._waiting is None else list(self._waiting)

    def restore(self, snapshot: list[Any] | None) -> None:
        self._waiting = None if snapshot is None else Halt(*snapshot)
