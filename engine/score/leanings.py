"""What a row would rather draw: numbers added to logits, beside the masks, which forbid. numba; releases the GIL.

In: the rows' composing state and the rules of the beat (`Rows` and `Rules`); out: logits. Remembers nothing. What
style, tension and piece prefer is written in the rules; what is preferred always stands here.

A layer leans towards its tessitura the more the further it is away, so that nothing piles up at the end of a range; the
lead goes by steps rather than on one note or by leaps; a chord is open below and close above. What is recalled is never
leaned against: a bar that returns is to return as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compile import kernel
from engine.notes import TICKS_PER_BEAT
from engine.score.cues import fits_chord
from engine.score.kernels import F32
from engine.score.vocabulary import (
    DURATIONS,
    FIRST_DRUM,
    FIRST_LAYER,
    FIRST_PITCH,
    NUM_DRUMS,
    NUM_POSITIONS,
    NUM_QUALITIES,
)
from moods.intent import LAYERS

if TYPE_CHECKING:
    from engine.score.columns import Floats
    from engine.score.rules import Rules
    from engine.score.sampling import Rows

NOTHING = -1
_DRUMS, _HARMONY, _LEAD = (LAYERS.index(name) for name in ("drums", "harmony", "lead"))

_HOME_PULL = 1.5
"""Taken from the logit of a pitch as far from the middle of its layer's tessitura as that reaches; it grows with the
square."""
_FOOT = 0.6
"""By what share of its reach below its middle a chord has its lowest note, and what share of the reach that has."""
_OCTAVE = 12
# By semitones from the lead's last note, up to an octave: the same, steps, thirds, and leaps the less the wider.
_LEAD_MOVES = np.array([-1.2, 0.2, 0.4, 0.2, 0.1, -0.1, -0.9, -0.2, -0.7, -0.7, -1.2, -1.5, -0.6], np.float32)
# By semitones from the note of a chord to the one above it, up to an octave.
_GAPS = np.array([0.0, -2.0, -1.0, 0.0, 0.2, 0.7, 0.3, 0.8, 0.6, 0.5, 0.3, -0.5, -0.2], np.float32)
_STAY_PENALTY = 1.1
"""Taken from the logit of the chord that sounds already: left alone, small models come to rest on the tonic."""
_WIDE = -1.5
"""Of gaps and moves of the lead wider than an octave."""
_HOME_PENALTY = 1.3
"""Taken from the logit of chords on the tonic: harmony is to move, and comes home of itself."""
_OCTAVES = np.log2(DURATIONS / TICKS_PER_BEAT).astype(np.float32)  # doublings of a beat


@kernel
def _by_interval(table: Floats, semitones: int) -> np.float32:
    return table[semitones] if semitones <= _OCTAVE else F32(_WIDE)


@kernel
def _tone_leaning(rows: Rows, rules: Rules, row: int, layer: int, value: int) -> Any:
    """What is added to the logit of a pitch of `layer` for being that tone of the scale, in the chord or outside."""
    relative, chord = value - FIRST_PITCH, rows.chord[row]
    leaning = rules.tone_bias[row, layer, relative % 12]
    if fits_chord(relative, chord):
        return max(leaning, F32(0))  # no tone of the chord is foreign
    is_near = fits_chord(relative + 1, chord) or fits_chord(relative - 1, chord)
    return leaning + rules.stray_bias[row, layer, 0 if is_near else 1]


@kernel
def lean_positions(rules: Rules, row: int, layer: int, logits: Floats) -> None:
    """Lean the logits of positions [NUM_POSITIONS] of a note of `layer`."""
    for position in range(NUM_POSITIONS):
        logits[position] += rules.position_bias[row, layer, position]


@kernel
def lean_durations(rules: Rules, row: int, layer: int, logits: Floats) -> None:
    """Lean the logits of durations of a note of `layer`."""
    for duration in range(len(DURATIONS)):
        logits[duration] += rules.length_bias[row, layer] * _OCTAVES[duration]


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
        leaning = _tone_leaning(rows, rules, row, layer, value) - F32(_HOME_PULL) * distance * distance
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
        if chord < NUM_QUALITIES:
            leaning -= F32(_HOME_PENALTY)
        if chord == rows.chord[row]:
            leaning -= F32(_STAY_PENALTY)
        elif rows.chord[row] >= 0:
            leaning += rules.root_bias[row, (chord // NUM_QUALITIES - root) % 12]
        if chord != recalled or leaning > 0:
            logits[chord] += leaning


@kernel
def lean_kinds(rows: Rows, rules: Rules, row: int, logits: Floats) -> None:
    """Lean the logits of kinds [NUM_KINDS], towards a lead that goes on too."""
    for layer in range(rules.kind_bias.shape[1]):
        logits[FIRST_LAYER + layer] += rules.kind_bias[row, layer]
    count, now = rows.num_events[row], np.int64(0)
    if count > 0:
        now = rows.events[row, count - 1, 1]
    if rows.sounds_until[row, _LEAD] <= now:
        logits[FIRST_LAYER + _LEAD] += rules.lead_call[row]
