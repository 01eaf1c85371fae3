"""Curves between values. In: ramps with a start, a length and a target; out: the value at any moment.

Remembers the ramps from the last `forget_before` on. One thread at a time.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from moods.clock import FRAMES_PER_SECOND

Value: TypeAlias = Any
"""float, tuple of floats, `Texts`, or None where the value is left to the mood; one kind per track."""
Texts = tuple[tuple[str, float], ...]
"""Texts and their weights."""
NEVER = sys.maxsize
"""The frame of what does not happen."""


class Moment(NamedTuple):
    """A position in the music, counted both ways."""

    frame: int
    beat: float


class Span(NamedTuple):
    """How long a glide takes: seconds, or beats, which stretch with the tempo."""

    length: float
    in_beats: bool = False


AT_ONCE = Span(0.0)


@dataclass(slots=True)
class Ramp:
    """A straight line from whatever the value is at the start to `target`."""

    beat: float  # where it begins
    frame: int | None  # where it begins, if that is not on a beat: beats move when the tempo before them changes
    span: Span
    target: Value
    id: str | None  # of the control that asked for it
    number: int = 0  # and its number
    is_exact: bool = False  # a tempo has arrived where the span is over, however far; a key comes without pivot
    asked_frame: int | None = None  # where it was asked for in seconds: it stays there when the tempo changes
    start: Value = None  # the value at the start, once it has been needed
    is_start_known: bool = False


class Track:
    """One value over time: piecewise linear, in frames or in beats.

    `frame_of_beat` places ramps that begin on a beat; `auto` gives the value wherever it is left to the mood (None);
    `mix` is what lies between two values.
    """

    def __init__(
        self,
        base: Value,
        frame_of_beat: Callable[[int], int],
        auto: Callable[[Moment], Value] | None = None,
        mix: Callable[[Value, Value, float], Value] | None = None,
    ) -> None:
        self.base = base  # the value before the first ramp
        self.ramps: list[Ramp] = []  # by beat, never two at the same beat
        self._frame_of_beat, self._auto, self._mix = frame_of_beat, auto, mix or _line

    def value(self, at: Moment) -> Value:
        """The value at `at`, with the mood's value where it is open."""
        value = self._value_before(len(self.ramps), at) if self.ramps else self.base
        return self._auto(at) if value is None and self._auto is not None else value

    def ramp_at(self, beat: float) -> Ramp | None:
        """The ramp that began last at `beat`."""
        index = bisect_right(self.ramps, beat, key=lambda ramp: ramp.beat)
        return self.ramps[index - 1] if index else None

    def ahead(self, beat: float, number: int | None = None) -> Value:
        """The value that is headed for at `beat`, also by a ramp still to come that the control of that number asked
        for."""
        coming = (ramp for ramp in self.ramps if ramp.number == number and ramp.beat > beat)
        ramp = next(coming, None) or self.ramp_at(beat)
        return self.base if ramp is None else ramp.target

    def holds_until(self, at: Moment) -> int:
        """The first frame after `at` at which a ramp moves the value, NEVER where none will."""
        index = bisect_right(self.ramps, at.beat, key=lambda ramp: ramp.beat)
        if index and self._progress(self.ramps[index - 1], at) < 1:
            return at.frame + 1
        return self.first_frame(self.ramps[index]) if index < len(self.ramps) else NEVER

    def first_frame(self, ramp: Ramp) -> int:
        """Where a ramp begins."""
        return self._frame_of_beat(int(ramp.beat)) if ramp.frame is None else ramp.frame

    def final(self) -> Value:
        """The value that will be reached in the end; None where open."""
        return self.ramps[-1].target if self.ramps else self.base

    def insert(self, ramp: Ramp) -> None:
        """Add a ramp; it replaces one that would begin at the same beat."""
        index = bisect_left(self.ramps, ramp.beat, key=lambda other: other.beat)
        is_taken = index < len(self.ramps) and self.ramps[index].beat == ramp.beat
        self.ramps[index : index + is_taken] = [ramp]

    def end_at(self, beat: float) -> None:
        """Take out the ramps that begin after `beat`."""
        self.ramps = [ramp for ramp in self.ramps if ramp.beat <= beat]

    def replaced_by(self, ramp: Ramp) -> Ramp | None:
        """The ramp that would go on at the beat where another begins."""
        other = self.ramp_at(ramp.beat)
        if other is None or other is ramp:
            return None
        at = Moment(self.first_frame(ramp), ramp.beat)
        return other if other.beat == ramp.beat or self._progress(other, at) < 1 else None

    def move(self, ramp: Ramp, beat: float) -> None:
        """Let a ramp begin elsewhere; it replaces one that begins there."""
        self.remove(ramp)
        ramp.beat = beat
        self.insert(ramp)

    def remove(self, ramp: Ramp) -> None:
        """Take out a ramp."""
        self.ramps = [other for other in self.ramps if other is not ramp]

    def revise(self, beat: float) -> None:
        """The course has changed from `beat` on: later ramps may start from other values."""
        for ramp in self.ramps:
            if ramp.beat >= beat:
                ramp.is_start_known = False

    def settle(self, at: Moment) -> None:
        """Work out where the ramp under way at `at` began, while the tracks it depends on still know."""
        index = bisect_right(self.ramps, at.beat, key=lambda ramp: ramp.beat) - 1
        if index >= 0:
            self._start(index)

    def forget_before(self, at: Moment) -> None:
        """Drop what no value at `at` or later depends on; all tracks are settled there."""
        index = bisect_right(self.ramps, at.beat, key=lambda ramp: ramp.beat) - 1
        if index < 0:
            return
        ramp = self.ramps[index]
        if self._progress(ramp, at) >= 1:
            self.base, self.ramps = ramp.target, self.ramps[index + 1 :]
        else:
            self.base, ramp.frame = self._start(index), self.first_frame(ramp)
            self.ramps = self.ramps[index:]

    def snapshot(self) -> dict[str, Any]:
        ramps = [
            [r.beat, r.frame, list(r.span), r.target, r.id, r.number, r.is_exact, r.asked_frame] for r in self.ramps
        ]
        return {"base": self.base, "ramps": ramps}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.base = _frozen(snapshot["base"])
        rows = snapshot["ramps"]
        self.ramps = [
            Ramp(beat, frame, Span(*span), _frozen(target), *rest) for beat, frame, span, target, *rest in rows
        ]

    def _value_before(self, count: int, at: Moment) -> Value:
        """The value at `at` as if only the first `count` ramps existed."""
        for index in range(count - 1, -1, -1):
            ramp = self.ramps[index]
            if ramp.beat <= at.beat:
                progress = self._progress(ramp, at)
                if progress >= 1:
                    return ramp.target
                return self._blend(self._start(index), ramp.target, progress, at)
        return self.base

    def _start(self, index: int) -> Value:
        ramp = self.ramps[index]
        if not ramp.is_start_known:
            ramp.start = self._value_before(index, Moment(self.first_frame(ramp), ramp.beat))
            ramp.is_start_known = True
        return ramp.start

    def _progress(self, ramp: Ramp, at: Moment) -> float:
        length, in_beats = ramp.span
        if length <= 0:
            return 1.0
        if in_beats:
            return (at.beat - ramp.beat) / length
        return (at.frame - self.first_frame(ramp)) / (length * FRAMES_PER_SECOND)

    def _blend(self, start: Value, target: Value, progress: float, at: Moment) -> Value:
        if self._auto is not None:
            start = self._auto(at) if start is None else start
            target = self._auto(at) if target is None else target
        if start is None or target is None:  # nothing to glide between
            return target
        return self._mix(start, target, progress)


def _line(start: Value, target: Value, progress: float) -> Value:
    if isinstance(start, tuple):
        return tuple(a + (b - a) * progress for a, b in zip(start, target, strict=True))
    return start + (target - start) * progress


def crossfade(start: Texts, target: Texts, progress: float) -> Texts:
    """The texts of both, weighed by how far the glide is; from or to no texts there is nothing to glide between."""
    if not start or not target:
        return target
    weights = {text: weight * (1 - progress) for text, weight in start}
    for text, weight in target:
        weights[text] = weights.get(text, 0.0) + weight * progress
    return tuple(weights.items())


def _frozen(value: Value) -> Value:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
