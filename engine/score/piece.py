"""Notes as data. In: arrangers and MIDI readers; out: the vocabulary and the synth. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from moods.harmony import Key
from moods.intent import BEATS_PER_BAR

TICKS_PER_BEAT = 24

NOTE = np.dtype(
    [
        ("tick", np.int32),  # onset, from the start of the piece
        ("length", np.int32),  # ticks, at least 1
        ("layer", np.int8),  # index into moods.intent.LAYERS
        ("pitch", np.int16),  # MIDI note number; for drums one of DRUM_PITCHES
        ("velocity", np.int16),  # 1 … 127
    ]
)

CHORD = np.dtype(
    [
        ("tick", np.int32),
        ("root", np.int8),  # pitch class, C = 0
        ("quality", np.int8),  # index into moods.harmony.CHORD_QUALITY_NAMES
    ]
)

# General MIDI note numbers that stand for a class of drum sound; the order is part of the token vocabulary.
DRUM_PITCHES: dict[int, str] = {
    36: "kick", 38: "snare", 37: "rim", 39: "clap", 42: "closed hat", 44: "pedal hat", 46: "open hat",
    45: "low tom", 47: "mid tom", 50: "high tom", 49: "crash", 51: "ride", 53: "ride bell",
    54: "tambourine", 70: "shaker", 56: "cowbell", 64: "low hand drum", 63: "high hand drum",
}  # fmt: skip


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
