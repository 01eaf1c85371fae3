"""What a row would rather draw: numbers added to logits, beside the masks, which forbid. numba; releases the GIL.

In: the rows' composing state and the rules of the beat (`Rows` and `Rules`); out: logits. Remembers nothing.

A layer leans towards its tessitura the more the further it is away, so that nothing piles up at the end of a range; the
lead goes by steps rather than on one note or by leaps; a chord is open below and close above. What is recalled is never
leaned against: a bar that returns is to return as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.compile import kernel
from engine.score.kernels import F32
from engine.score.tension import tone_leaning
from engine.score.vocabulary import FIRST_DRUM, FIRST_LAYER, FIRST_PITCH, NUM_DRUMS, NUM_QUALITIES
from moods.intent import LAYERS

if TYPE_CHECKING:
    from engine.score.columns import Floats
    from engine.score.rules import Rules
    from engine.score.sampling import Rows

NOTHING = -1
_DRUMS, _BASS, _HARMONY, _LEAD = (LAYERS.index(name) for name in ("drums", "bass", "harmony", "lead"))

_HOME_PULL = 1.5
"""Taken from the logit of a pitch as far from the middle of its layer's tessitura as that reaches; it grows with the
square."""
_FOOT = 0.6
"""By what share of its reach below its middle a chord has its lowest note, and what share of the reach that has."""
_OCTAVE = 12
# By semitones from the lead's last note, up to an octave: the same, steps, thirds, and leaps the less the wider.
_LEAD_MOVES = np.array([-1.0, 0.2, 0.5, 0.2, 0.0, -0.3, -1.0, -0.5, -0.9, -1.0, -1.4, -1.6, -0.9], np.float32)
# By semitones from the note of a chord to the one above it, up to an octave.
_GAPS = np.array([0.0, -2.0, -1.0, 0.0, 0.2, 0.7, 0.3, 0.8, 0.6, 0.5, 0.3, -0.5, -0.2], np.float32)
_STAY_PENALTY = 1.1
"""Taken from the logit of the chord that sounds already: left alone, small models come to rest on the tonic."""
_WIDE = -1.5
"""Of gaps and moves of the lead wider than an octave."""


@kernel
def _by_interval(table: Floats, semitones: int) -> np.float32:
    return table[semitones] if semitones <= _OCTAVE else F32(_WIDE)


@kernel
def lean_values(rows: Rows, rules: Rules, row: int, layer: int, position: int, recalled: int, logits: Floats) -> None:
    """Lean the logits of values [NUM_VALUES] of a note of `layer` at `position`; `recalled` is the value that is asked
    back there, NOTHING where none is."""
    if layer == _DRUMS:
        for drum in range(NUM_DRUMS):
            logits[FIRST_DRUM + drum] += rules.drum_bias[row, drum]
        return
    below = NOTHING
    for i in range(rows.num_events[row]):
        if rows.events[row, i, 0] == FIRST_LAYER + layer and rows.events[row, i, 1] == position:
            below = rows.events[row, i, 2]
    home, reach = rules.home[row, layer] + F32(FIRST_PITCH), rules.reach[row, layer]
    if layer == _HARMONY and below < 0:
        home -= F32(_FOOT) * reach
        reach *= F32(_FOOT)
    for value in range(FIRST_PITCH, len(logits)):
        distance = (F32(value) - home) / reach
        leaning = tone_leaning(rows, rules, row, layer, value) - F32(_HOME_PULL) * distance * distance
        if layer == _LEAD and rows.last_lead[row] > 0:
            leaning += _by_interval(_LEAD_MOVES, abs(value - rows.last_lead[row]))
        elif layer == _HARMONY and value > below >= 0:
            leaning += _by_interval(_GAPS, value - below)
        if value != recalled or leaning > 0:
            logits[value] += leaning


@kernel
def lean_chords(rows: Rows, rules: Rules, row: int, recalled: int, logits: Floats) -> None:
    """Lean the logits of chords [NUM_CHORDS]; `recalled` is the one that is asked back here, or NOTHING."""
    root = rows.chord[row] // NUM_QUALITIES
    for chord in range(rules.chords.shape[1]):
        leaning = rules.chord_bias[row, chord]
        if chord == rows.chord[row]:
            leaning -= F32(_STAY_PENALTY)
        elif rows.chord[row] >= 0:
            leaning += rules.root_bias[row, (chord // NUM_QUALITIES - root) % 12]
        if chord != recalled or leaning > 0:
            logits[chord] += leaning


@kernel
def lean_kinds(rows: Rows, rules: Rules, row: int, logits: Floats) -> None:
    """Lean the logits of kinds [NUM_KINDS] towards a bass that has something to say and a lead that goes on."""
    for layer in range(rules.kind_bias.shape[1]):
        logits[FIRST_LAYER + layer] += rules.kind_bias[row, layer]
    logits[FIRST_LAYER + _BASS] += rules.bass_drive[row]
    count, now = rows.num_events[row], np.int64(0)
    if count > 0:
        now = rows.events[row, count - 1, 1]
    if rows.sounds_until[row, _LEAD] <= now:
        logits[FIRST_LAYER + _LEAD] += rules.lead_call[row]
