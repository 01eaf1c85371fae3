"""What is made of a timeline: the tempo of each beat and the sections by bars. Plain values; remembers nothing."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place that a beat should fall on."""

    at_s: float
    kind: Literal["hit", "cut", "section", "end"]
    weight: float
    beat: int | None  # the one that was put there, from 0; None: there is none
    error_ms: float  # how much later the nearest beat begins; below 0, earlier


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """A section of the form."""

    first_bar: int  # from 0
    num_bars: int
    name: str  # one of SECTIONS


@dataclass(frozen=True, slots=True)
class Plan:
    """How a piece of known length goes. The same for every seed."""

    bpm_of_beat: tuple[tuple[int, float], ...]
    """From which beat on which tempo; beats after the last row keep its tempo."""
    asked_of_beat: tuple[tuple[int, float], ...]
    """The same of the tempo asked for. Notes are composed to it, whatever the length does to the piece's own."""
    sections: tuple[PlannedSection, ...]
    """They cover the piece; after them the seed's own form goes on."""
    end_beat: int | None
    """The beat of the last chord, or that a loop is cut before; None: the music ends wherever it is."""
    anchors: tuple[Anchor, ...]
    """By their place."""
    asked_bpm: float
    """At the beginning, as mood and timeline ask for it; the range is that of the plan."""
    lowest_bpm: float
    highest_bpm: float

    def bpm_at(self, beat: int) -> float:
        """The tempo of `beat`, from 0."""
        return _at(self.bpm_of_beat, beat)

    def asked_at(self, beat: int) -> float:
        """The tempo that is asked for there."""
        return _at(self.asked_of_beat, beat)


def _at(rows: tuple[tuple[int, float], ...], beat: int) -> float:
    return rows[bisect_right(rows, beat, key=lambda row: row[0]) - 1][1]
