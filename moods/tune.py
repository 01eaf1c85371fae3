"""A tune: a melody in no key. In: notes as steps of a scale; out: the same in any scale.

Remembers nothing; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from moods.harmony import SCALES

_WHOLE = {"major pentatonic": "major", "minor pentatonic": "minor"}
"""The scale of seven steps that a scale of five is part of."""


class TuneNote(NamedTuple):
    """A note of a tune."""

    onset: float  # beats from the beginning, a multiple of 1 / GRID
    beats: float  # its length, likewise
    step: int  # of a scale of seven, 0 the tonic, 7 its octave; of a note outside the tune's own scale the one below
    altered: int | None  # semitones above the tonic of a note outside it


@dataclass(frozen=True, slots=True)
class Tune:
    """A melody, one note at a time, in no key."""

    notes: tuple[TuneNote, ...]
    beats: int  # until it may begin again: whole bars

    @property
    def end(self) -> float:
        """Where the last note ends, in beats."""
        return self.notes[-1].onset + self.notes[-1].beats

    def in_scale(self, scale: str) -> list[int]:
        """Each note in semitones above the tonic; what stood outside its scale keeps its distance from the tonic."""
        steps = SCALES[whole_scale(scale)]
        return [
            12 * (note.step // 7) + steps[note.step % 7] if note.altered is None else note.altered
            for note in self.notes
        ]


def whole_scale(scale: str) -> str:
    """A scale of seven steps, or the one that a scale of five is part of."""
    return _WHOLE.get(scale, scale)
