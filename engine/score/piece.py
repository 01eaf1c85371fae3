"""Labelled pieces. In: arrangers, MIDI readers; out: the vocabulary, what judges. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from moods.harmony import Key
from moods.intent import BEATS_PER_BAR

CHORD = np.dtype(
    [
        ("tick", np.int32),
        ("root", np.int8),  # pitch class, C = 0
        ("quality", np.int8),  # index into moods.harmony.CHORD_QUALITY_NAMES
    ]
)


@dataclass
class Bar:
    """Labels of one bar of four beats."""

    valence: float
    energy: float
    tension: float
    density: float
    style: npt.NDArray[np.float32]  # [13] weights in the order of moods.intent.STYLES, sum 1
    section: str  # one of moods.intent.SECTIONS
    bar_in_section: int
    beats_to_end: int | None = None  # at the bar's first beat; 0 where the last chord falls on it
    cues: tuple[str, ...] = ("none",) * BEATS_PER_BAR  # of each beat, from moods.intent.CUES


@dataclass
class Piece:
    """A labelled piece in 4/4. `notes` and `chords` are sorted by tick."""

    notes: npt.NDArray[np.void]  # [N] NOTE
    chords: npt.NDArray[np.void]  # [M] CHORD, a chord sounds until the next one
    bars: list[Bar]
    key: Key
    bpm: float
    source: str = ""  # data set and file, or "arranger/<style>/<seed>"
    layers_known: tuple[bool, ...] = field(default=(True,) * 5)
    """False where the source says nothing about a layer (Groove has only drums): not to be learnt as silence."""
