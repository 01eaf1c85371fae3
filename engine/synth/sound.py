"""Notes on the frame clock. In: the composer's notes; out: the synth's queue. Remembers nothing; any thread."""

from __future__ import annotations

import numpy as np

SOUND = np.dtype(
    [
        ("frame", np.int64),  # onset, from the opening of the slot
        ("length", np.int32),  # frames until the key is let go; drums ring as they do
        ("layer", np.int8),  # index into moods.intent.LAYERS
        ("pitch", np.int16),  # MIDI note number; for drums one of engine.score.piece.DRUM_PITCHES
        ("velocity", np.int16),  # 1 … 127
    ],
    align=True,  # a card reads no number across a word's end
)
