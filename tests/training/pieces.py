"""Pieces by hand for tests of what is measured in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.notes import NOTE
from engine.score.piece import CHORD, Bar, Piece
from moods.harmony import CHORD_QUALITY_NAMES, Key

MAJOR = CHORD_QUALITY_NAMES.index("maj")


def a_piece(
    notes: Iterable[tuple[int, int, int]],
    num_bars: int = 8,
    chords: Iterable[tuple[int, int]] = ((0, 0),),
    bpm: float = 100.0,
    **bar: Any,
) -> Piece:
    """In C major. `notes`: (tick, layer, pitch), a beat long; `chords`: (tick, root), major; `bar`: labels of all."""
    rows = np.array([(tick, 24, layer, pitch, 80) for tick, layer, pitch in sorted(notes)], NOTE)
    labels = {"valence": 0.0, "energy": 0.5, "tension": 0.2, "density": 0.5, "section": "B"} | bar
    style = np.eye(13, dtype=np.float32)[0]
    bars = [Bar(**labels, style=style, bar_in_section=index) for index in range(num_bars)]
    return Piece(rows, np.array([(tick, root, MAJOR) for tick, root in chords], CHORD), bars, Key(0, "major"), bpm)
