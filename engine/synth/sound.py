"""What goes to a renderer: notes on the frame clock, and runs of rows. Remembers nothing; any thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SOUND = np.dtype(
    [
        ("frame", np.int64),  # onset, from the opening of the slot
        ("length", np.int32),  # frames until the key is let go; drums ring as they do
        ("layer", np.int8),  # index into moods.intent.LAYERS
        ("pitch", np.int16),  # MIDI note number; for drums one of engine.score.piece.DRUM_PITCHES
        ("velocity", np.int16),  # 1 … 127
        ("is_struck", np.int8),  # 1: begins at its very frame, where other notes may be strummed, loose or slurred
    ],
    align=True,  # a card reads no number across a word's end
)


def as_sounds(rows: Iterable[tuple[int, int, int, int, int]]) -> npt.NDArray[np.void]:
    """Sounds of (frame, length, layer, pitch, velocity), in the order of the synth's queue; none is struck."""
    return np.array([(*row, 0) for row in sorted(rows)], SOUND)


class Ragged(NamedTuple):
    """A run of rows for every slot of a call: `rows` one after another, slot k's from first[k] to first[k + 1]."""

    rows: npt.NDArray[Any]
    first: npt.NDArray[np.int64]

    def of(self, k: int) -> npt.NDArray[Any]:
        return self.rows[self.first[k] : self.first[k + 1]]
