"""An edited sequence as every reader gives it. In: spans of clips, transitions, markers; out: the cuts that are seen.

Remembers nothing; any thread. All places are seconds since the sequence's first frame, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from typing import Any

from streaming.files.exchange.timecode import Timebase

SEEN, UPPER, TITLE, COVERED = 1.0, 0.8, 0.4, 0.4
"""Weights of an edit: of the lowest track, of a track above it, of a title or other made picture, and of the lowest
track where something lies above it."""
TRANSITION = 0.5
"""Of an edit that is a dissolve or wipe, beside a hard one: its middle is where the picture has changed."""


@dataclass(frozen=True, slots=True)
class Span:
    """A clip as it lies in the sequence."""

    start: Fraction
    end: Fraction
    is_title: bool = False


@dataclass(slots=True)
class Track:
    """A track of the picture; what lies in it need not be in order and may overlap."""

    clips: list[Span] = field(default_factory=list)
    transitions: list[Span] = field(default_factory=list)

    def take_in(self, nested: Track, start: Fraction, end: Fraction) -> None:
        """Take in what a nested sequence holds, as far as it is seen: from `start` to `end`."""
        for clip in nested.clips:
            if clip.start < end and clip.end > start:
                self.clips.append(Span(max(clip.start, start), min(clip.end, end), clip.is_title))
        self.transitions += [each for each in nested.transitions if start < each.start and each.end < end]


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker somebody has set."""

    at: Fraction
    name: str = ""
    comment: str = ""
    is_red: bool = False
    is_chapter: bool = False
    kind: str = ""
    """Of one that we have written: what it marks."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of a section, where they are told apart: JSON values."""
    strength: float | None = None
    """Of a hit."""


@dataclass(slots=True)
class EditedSequence:
    """What an exchange file holds of a sequence."""

    timebase: Timebase | None
    """None: the file counts in seconds alone."""
    duration: Fraction | None
    """None: the file does not say."""
    start_frame: int = 0
    """What the first frame's timecode counts."""
    tracks: Sequence[Track] = ()
    """From the lowest."""
    cuts: dict[Fraction, float] = field(default_factory=dict)
    """Cuts listed as such, with their weights."""
    marks: list[Mark] = field(default_factory=list)
    speech: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was not read, or was guessed."""

    def edits(self) -> Iterable[tuple[Fraction, float]]:
        """All places where the picture changes, its first frame and its end among them, with their weights."""
        return chain(self.cuts.items(), seen_edits(self.tracks))


def seen_edits(tracks: Sequence[Track]) -> Iterable[tuple[Fraction, float]]:
    """Where a clip begins or ends, in any track, with its weight.

    An edit within a transition is moved to its middle; one that fades in the beginning or out the end is none.
    """
    end = extent(tracks)
    above = _joined(clip for track in tracks[1:] for clip in track.clips if not clip.is_title)
    for level, track in enumerate(tracks):
        ends = {place: clip.is_title for clip in track.clips for place in (clip.start, clip.end)}
        covers, transitions = _Cover(above), _Cover(sorted(track.transitions, key=lambda span: span.start))
        for at in sorted(ends):
            weight = TITLE if ends[at] else (UPPER if level else SEEN)
            if level == 0 and (cover := covers.over(at)) is not None and cover.start < at < cover.end:
                weight = min(weight, COVERED)
            transition = transitions.over(at)
            if transition is not None and transition.start > 0 and transition.end < end:
                yield (transition.start + transition.end) / 2, weight * TRANSITION
            else:
                yield at, weight


class _Cover:
    """Looks through spans in order, for places that come in order."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans, self._next = spans, 0

    def over(self, at: Fraction) -> Span | None:
        while self._next < len(self._spans) and self._spans[self._next].end < at:
            self._next += 1
        span = self._spans[self._next] if self._next < len(self._spans) else None
        return span if span is not None and span.start <= at else None


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch or overlap as one, in order."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def extent(tracks: Iterable[Track]) -> Fraction:
    """Where the last clip ends."""
    return max(chain([Fraction(0)], (clip.end for track in tracks for clip in track.clips)))
