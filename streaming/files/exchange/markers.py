"""Beats, bars, sections and hits of a piece, to be written for an editing program. Remembers nothing; any thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from streaming.files.exchange.timecode import Timebase, can_drop

Kind = Literal["beat", "bar", "section", "hit"]
KINDS: tuple[Kind, ...] = ("hit", "section", "bar", "beat")
"""From what matters most."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A place of the piece; `at` and `duration` are seconds."""

    at: Fraction
    name: str
    kind: Kind
    duration: Fraction = Fraction(0)

    @property
    def label(self) -> str:
        """What the editor reads, in one line: `bar 12`, `beat 12.3`, `section: B`, `hit: door`."""
        name = " ".join(self.name.split())
        if name.casefold().split(":")[0].split(" ")[0] == self.kind:
            return name
        if not name:
            return self.kind
        return f"{self.kind} {name}" if self.kind in ("bar", "beat") else f"{self.kind}: {name}"


@dataclass(frozen=True, slots=True)
class Markers:
    """All markers of a piece, and how its picture counts."""

    frame_rate: Fraction
    drop_frame: bool
    start_timecode: str | None
    """Of the first frame; None: 00:00:00:00."""
    duration: Fraction
    """Seconds."""
    title: str
    markers: tuple[Marker, ...]
    media: Path | None = None
    """The music's file, where editing programs are to find it."""

    @property
    def timebase(self) -> Timebase:
        return Timebase(self.frame_rate, self.drop_frame and can_drop(self.frame_rate))

    @property
    def start_frame(self) -> int:
        return 0 if self.start_timecode is None else self.timebase.frames(self.start_timecode)

    @property
    def length_frames(self) -> int:
        return max(1, self.timebase.at(self.duration))

    def frame(self, marker: Marker) -> int:
        """The frame of the picture nearest to the marker, counted from 0."""
        return self.timebase.at(marker.at)

    def num_frames(self, marker: Marker) -> int:
        """How long the marker is; 0: it marks a place."""
        return self.timebase.at(marker.at + marker.duration) - self.frame(marker)

    def of(self, kinds: Iterable[str]) -> Markers:
        """With only these kinds of markers, in order, none at or after the end."""
        kept = [marker for marker in self.markers if marker.kind in kinds and self.frame(marker) < self.length_frames]
        kept.sort(key=lambda marker: (marker.at, KINDS.index(marker.kind)))
        return replace(self, markers=tuple(kept))
