"""What a hit and a pickup leave to the sampler: masks for beats in which all strike together or a layer leads in.

In: the rows' composing state and the rules of the beat; out: masks, caps and bounds. Remembers nothing. numba.

A strike has one position and exact contents: the drums asked for, the chord's root in the bass, every tone of the chord
in the harmony, one chord tone each of texture and lead. A lead-in has so many onsets at least, and they grow louder;
one that is asked for a single onset only has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.compile import kernel
from engine.score.vocabulary import (
    FIRST_DRUM,
    FIRST_LAYER,
    FIRST_PITCH,
    NUM_DRUMS,
    NUM_POSITIONS,
    NUM_QUALITIES,
    NUM_VELOCITIES,
)
from moods.harmony import CHORD_QUALITIES
from moods.intent import LAYERS

if TYPE_CHECKING:
    from engine.score.rules import Rules
    from engine.score.sampling import Rows

NUM_LAYERS = len(LAYERS)
_DRUMS, _BASS, _HARMONY, _LEAD = (LAYERS.index(name) for name in ("drums", "bass", "harmony", "lead"))
CHORD_TONES = np.zeros((len(CHORD_QUALITIES), 12), np.bool_)
for _index, _tones in enumerate(CHORD_QUALITIES.values()):
    CHORD_TONES[_index, list(_tones)] = True
HAS_TONE = np.array([np.roll(tones, root) for root in range(12) for tones in CHORD_TONES])
"""[NUM_CHORDS, 12] the tones of each chord, above the tonic."""

_WIDEST_CHORD = 16
"""Semitones from the lowest to the highest note of a struck chord."""
_LEAD_IN_TICKS = NUM_POSITIONS // 8
"""The least distance between the onsets that a lead-in must have."""
_QUIETEST_ONSET, _LOUDEST_FIRST_ONSET, _STEEPEST = 4, 8, 3
"""Velocity classes: of a lead-in's first onset, and how much louder each further one may be."""


@kernel
def fits_chord(relative: int, chord: int) -> bool:
    """Is `relative`, in semitones above the tonic, a tone of `chord`? Anything is where no chord is known."""
    if chord < 0:
        return True
    return CHORD_TONES[chord % NUM_QUALITIES, (relative - chord // NUM_QUALITIES) % 12]


# --- strikes -------------------------------------------------------------------------------------------------------


@kernel
def _has_played(rows: Rows, row: int, layer: int, relative: int) -> bool:
    """Has `layer` played the pitch class of `relative` in this beat?"""
    for i in range(rows.num_events[row]):
        event = rows.events[row, i]
        if event[0] == FIRST_LAYER + layer and (event[2] - FIRST_PITCH - relative) % 12 == 0:
            return True
    return False


@kernel
def _has_drum(rows: Rows, row: int, value: int) -> bool:
    for i in range(rows.num_events[row]):
        if rows.events[row, i, 0] == FIRST_LAYER and rows.events[row, i, 2] == value:
            return True
    return False


@kernel
def missing_layer(rows: Rows, rules: Rules, row: int) -> int:
    """The first layer that has still to strike, -1 where all have struck."""
    for drum in range(NUM_DRUMS):
        if rules.strike_drums[row, drum] and not _has_drum(rows, row, FIRST_DRUM + drum):
            return _DRUMS
    for layer in range(1, NUM_LAYERS):
        if rules.max_notes[row, layer] == 0 or (layer == _LEAD and rules.num_theme[row] >= 0):
            continue
        if rows.num_notes[row, layer] == 0:
            return layer
        if layer == _HARMONY:
            root = rows.chord[row] // NUM_QUALITIES
            for tone in range(12):
                if fits_chord(root + tone, rows.chord[row]) and not _has_played(rows, row, layer, root + tone):
                    return layer
    return -1


@kernel
def _has_room_above(rows: Rows, row: int, value: int, highest: int) -> bool:
    """Can the harmony's missing chord tones be played above `value`, in any order of pitch, up to `highest`?"""
    chord = rows.chord[row]
    for relative in range(12):
        above = (relative - (value - FIRST_PITCH)) % 12
        is_missing = above > 0 and fits_chord(relative, chord) and not _has_played(rows, row, _HARMONY, relative)
        if is_missing and value + above > highest:
            return False
    return True


@kernel
def may_strike(rows: Rows, rules: Rules, row: int, layer: int, last_value: int, value: int, is_leading: bool) -> bool:
    """May `layer` strike `value`? Values rise; each choice leaves room for what has still to be struck.

    `is_leading`: `value` is near what the layer played before.
    """
    if layer == _DRUMS:
        for drum in range(NUM_DRUMS):
            if rules.strike_drums[row, drum] and not _has_drum(rows, row, FIRST_DRUM + drum):
                return value == FIRST_DRUM + drum
        return False
    relative = value - FIRST_PITCH
    if not fits_chord(relative, rows.chord[row]):
        return False
    needs_root = layer == _BASS or (rules.ending[row] != 0 and last_value < 0)  # an ending rests on the tonic
    if needs_root and (relative - rows.chord[row] // NUM_QUALITIES) % 12 != 0:
        return False
    if last_value < 0 and not is_leading:
        return False
    if layer != _HARMONY:
        return True
    lowest = value if last_value < 0 else rows.voicing[row, 0]
    highest = min(lowest + _WIDEST_CHORD, rules.high[row, layer] + FIRST_PITCH)
    if value > highest or _has_played(rows, row, layer, relative):
        return False
    return _has_room_above(rows, row, value, highest)


# --- themes --------------------------------------------------------------------------------------------------------


@kernel
def plays_theme(rules: Rules, row: int, layer: int) -> bool:
    return layer == _LEAD and rules.num_theme[row] >= 0


@kernel
def theme_due(rows: Rows, rules: Rules, row: int) -> int:
    """Position of the next note of a theme in this beat; NUM_POSITIONS where there is none."""
    index = rows.num_notes[row, _LEAD]
    return rules.theme[row, index, 0] if index < rules.num_theme[row] else NUM_POSITIONS


@kernel
def may_state(rows: Rows, rules: Rules, row: int) -> bool:
    """Is it time for the next note of the theme? A lead-in that would have no room after it comes first."""
    due = theme_due(rows, rules, row)
    missing = num_missing_onsets(rows, rules, row)
    return due < NUM_POSITIONS and (missing == 0 or due < NUM_POSITIONS - missing * _LEAD_IN_TICKS)


# --- lead-ins ------------------------------------------------------------------------------------------------------


@kernel
def _last_onset(rows: Rows, row: int, layer: int) -> tuple[int, int]:
    """Position and velocity class of the layer's last note in this beat, -1 and -1 where there is none."""
    for i in range(rows.num_events[row] - 1, -1, -1):
        if rows.events[row, i, 0] == FIRST_LAYER + layer:
            return rows.events[row, i, 1], rows.events[row, i, 4]
    return -1, -1


@kernel
def num_missing_onsets(rows: Rows, rules: Rules, row: int) -> int:
    """Onsets that the lead-in of this beat still lacks."""
    if rules.lead_in[row] < 0:
        return 0
    count, last = 0, -1
    for i in range(rows.num_events[row]):
        if rows.events[row, i, 0] == FIRST_LAYER + rules.lead_in[row] and rows.events[row, i, 1] != last:
            count, last = count + 1, rows.events[row, i, 1]
    return max(0, rules.lead_in_onsets[row] - count)


@kernel
def position_bounds(rows: Rows, rules: Rules, row: int, layer: int) -> tuple[int, int]:
    """First and last position of this beat at which `layer` may begin another note, so that a lead-in has its room and
    a theme its notes in order.

    The place of the layer's last note is always allowed, for chords.
    """
    missing, due = num_missing_onsets(rows, rules, row), theme_due(rows, rules, row)
    if missing == 0:
        return 0, min(NUM_POSITIONS - 1, due)
    latest = NUM_POSITIONS - missing * _LEAD_IN_TICKS
    if layer != rules.lead_in[row]:
        return 0, min(latest - _LEAD_IN_TICKS, due)
    before = _last_onset(rows, row, layer)[0]
    return 0 if before < 0 else before + _LEAD_IN_TICKS, min(latest, due)


@kernel
def velocity_bounds(rows: Rows, rules: Rules, row: int, layer: int, position: int) -> tuple[int, int]:
    """Lowest and highest velocity class of a note of `layer` at `position`."""
    loudest = NUM_VELOCITIES - 1
    if plays_theme(rules, row, layer):
        return rules.theme_softest[row], loudest
    if rules.strike[row] >= 0:
        return rules.strike_velocity[row], loudest
    if layer != rules.lead_in[row] or rules.lead_in_onsets[row] == 1:
        return 0, loudest
    before, velocity = _last_onset(rows, row, layer)
    if before < 0:
        return _QUIETEST_ONSET, _LOUDEST_FIRST_ONSET
    if before == position:
        return velocity, velocity
    return min(loudest, velocity + 1), min(loudest, velocity + _STEEPEST)
