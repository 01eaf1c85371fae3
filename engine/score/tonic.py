"""The tonic among its rivals: a listener takes for it what a piece rests on longest.

In: how long chords have lasted on each degree of late; out: leanings of chords. What is recalled is as it was: a bar
that comes again was weighed when it was first composed. Remembers only what it writes into the rows' state; any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.score.asked import Asked
from engine.score.tension import unease
from engine.score.vocabulary import NUM_QUALITIES

if TYPE_CHECKING:
    from engine.score.columns import Ints
    from engine.score.rules import Rules
    from engine.score.sampling import Rows

_HALF_LIFE_BEATS = 16.0
_KEEP = 0.5 ** (1 / _HALF_LIFE_BEATS)
_RIVAL_PULL = 8.0
"""Taken from the logits of a root's chords for all the time that it has had more than the tonic, as a share of time."""


def write_rivals(rules: Rules, rows: Rows, slots: Ints, asked: Asked) -> None:
    """Lean beats [N] ASKED away from roots that have lasted longer than the tonic of late; where it is tense, the bass
    has the tonic, and chords are free."""
    beats = rows.root_beats[slots]
    more = np.maximum(0, beats - beats[:, :1]) / np.maximum(1, beats.sum(axis=1))[:, None]
    leaning = (_RIVAL_PULL * (1 - unease(asked)))[:, None] * more
    rules.chord_bias[slots] -= np.repeat(leaning, NUM_QUALITIES, axis=1).astype(np.float32)


def note_chords(rows: Rows, slots: Ints) -> None:
    """Count the beat that rows of slots [N] have just finished."""
    rows.root_beats[slots] *= _KEEP
    sounding = slots[rows.chord[slots] >= 0]
    rows.root_beats[sounding, rows.chord[sounding] // NUM_QUALITIES] += 1
