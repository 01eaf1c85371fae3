"""The plan of a piece: sections, and for each bar labels, players and chords. Data; remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.score.piece import Bar
from engine.training.arranger.harmony import Chord
from engine.training.arranger.idioms import Idiom
from moods.harmony import Key
from moods.intent import LAYERS

DRUMS, BASS, HARMONY, TEXTURE, LEAD = range(len(LAYERS))
CHANGES = ("ornamented", "octave", "answer", "counter", "thinner", "fuller")
"""What may be done to a section that returns; "none" brings it back nearly literally."""


@dataclass(frozen=True, slots=True)
class Section:
    """One stretch of the form."""

    first: int  # bar
    name: str  # one of moods.intent.SECTIONS
    length: int  # bars
    visit: int  # how often the name has come before
    original: int | None  # first bar of the first section of this name, if this is not it
    change: str  # "none" or one of CHANGES

    @property
    def bars(self) -> range:
        return range(self.first, self.first + self.length)


@dataclass(slots=True)
class BarPlan:
    """One bar: its labels, who plays it, and (once harmony has been chosen) its chords."""

    index: int
    label: Bar
    visit: int  # how often this section has come before
    section_bars: int
    change: str  # how the section differs from its first visit: "none" or one of CHANGES
    idioms: tuple[Idiom, ...]  # in the order of LAYERS
    playing: list[bool]  # in the order of LAYERS
    original: BarPlan | None = None  # the bar of the first visit that this one brings back
    chords: list[Chord] = field(default_factory=list)

    @property
    def pitched_activity(self) -> float:
        """What the rows of pitched layers are read with."""
        return 0.65 * self.label.density + 0.35 * self.label.energy

    @property
    def closes_section(self) -> bool:
        return self.label.bar_in_section == self.section_bars - 1

    def chord_at(self, tick: int) -> Chord:
        """The chord at a tick of the bar."""
        return next(chord for chord in reversed(self.chords) if chord.start <= tick)


@dataclass(slots=True)
class Plan:
    key: Key
    bpm: float
    sections: list[Section]
    bars: list[BarPlan]
    ends: bool  # with a cadence on the first beat of the last bar
