"""Notes as rows: on the score's ticks, and on the frame clock that a synth plays by. Whoever composes hands over the
one, whoever sounds takes the other. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

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

SOUND = np.dtype(
    [
        ("frame", np.int64),  # onset, from the opening of the slot
        ("length", np.int32),  # frames until the key is let go; drums ring as they do
        ("layer", np.int8),  # index into moods.intent.LAYERS
        ("pitch", np.int16),  # MIDI note number; for drums one of DRUM_PITCHES
        ("velocity", np.int16),  # 1 … 127
        ("is_struck", np.int8),  # 1: begins at its very frame, where other notes may be strummed, loose or slurred
    ],
    align=True,  # a card reads no number across a word's end
)

# General MIDI note numbers that stand for a class of drum sound; the order is part of the token vocabulary.
DRUM_PITCHES: dict[int, str] = {
    36: "kick", 38: "snare", 37: "rim", 39: "clap", 42: "closed hat", 44: "pedal hat", 46: "open hat",
    45: "low tom", 47: "mid tom", 50: "high tom", 49: "crash", 51: "ride", 53: "ride bell",
    54: "tambourine", 70: "shaker", 56: "cowbell", 64: "low hand drum", 63: "high hand drum",
}  # fmt: skip


def as_sounds(rows: Iterable[tuple[int, int, int, int, int]]) -> npt.NDArray[np.void]:
    """Sounds of (frame, length, layer, pitch, velocity), in the order of the synth's queue; none is struck."""
    return np.array([(*row, 0) for row in sorted(rows)], SOUND)


def notes_to_sounds(
    notes: npt.NDArray[np.void], start: int | npt.NDArray[np.int64], frames_per_tick: float | npt.NDArray[np.float64]
) -> npt.NDArray[np.void]:
    """Notes counted in ticks from frame `start` as sounds counted in frames; of all, or of each its own."""
    sounds = np.zeros(len(notes), SOUND)
    sounds["frame"] = start + np.rint(notes["tick"] * frames_per_tick).astype(np.int64)
    sounds["length"] = np.maximum(1, np.rint(notes["length"] * frames_per_tick)).astype(np.int32)
    for name in ("layer", "pitch", "velocity"):
        sounds[name] = notes[name]
    return sounds
