"""What goes wrong in an hour. In: long pieces; out: counts of faults. Remembers nothing; any thread."""

from __future__ import annotations

import numpy as np

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.training.figures import empty_bars, onset_sets
from engine.training.labels import BAR_TICKS
from moods.intent import BEATS_PER_BAR

STUCK_BARS, LOOP_BARS = 8, 4
MOST_NOTES_A_BEAT = 28
"""Above this a beat is too full: one beat in a hundred of real game music has as many."""


def silent_bars(piece: Piece) -> float:
    """Bars in which nothing sounds."""
    return empty_bars(piece) / 100 * len(piece.bars)


def stuck_notes(piece: Piece) -> float:
    """Notes that sound longer than `STUCK_BARS`."""
    return float((piece.notes["length"] > STUCK_BARS * BAR_TICKS).sum())


def literal_loops(piece: Piece) -> float:
    """Runs of more than `LOOP_BARS` identical bars."""
    loops, run, before = 0, 1, None
    for bar in onset_sets(piece):
        run = run + 1 if bar and bar == before else 1
        loops += run == LOOP_BARS + 1
        before = bar
    return float(loops)


def overfull_beats(piece: Piece) -> float:
    """Beats in which more than `MOST_NOTES_A_BEAT` notes begin."""
    counts = np.bincount(piece.notes["tick"] // TICKS_PER_BEAT, minlength=len(piece.bars) * BEATS_PER_BAR)
    return float((counts > MOST_NOTES_A_BEAT).sum())


FAULTS = {
    "bars of silence": silent_bars,
    f"notes longer than {STUCK_BARS} bars": stuck_notes,
    f"loops of more than {LOOP_BARS} bars": literal_loops,
    f"beats with more than {MOST_NOTES_A_BEAT} notes": overfull_beats,
}
