"""What a row may draw next: masks of kinds, positions, values and durations. numba; releases the GIL.

In: the rows' composing state and the rules of the beat (`Rows` and `RuleTable` of sampling.py); out: masks. Remembers
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compile import kernel
from engine.score.cues import (
    NUM_LAYERS,
    fits_chord,
    may_state,
    may_strike,
    missing_layer,
    num_missing_onsets,
    plays_theme,
    position_bounds,
    theme_due,
)
from engine.score.rules import LAST_CHORD, LEAD_LEAPS, MAX_VOICES, SILENT, VOICING_REACH
from engine.score.vocabulary import (
    BEAT,
    CHORD_EVENT,
    DURATIONS,
    FIRST_DRUM,
    FIRST_LAYER,
    FIRST_PITCH,
    MAX_EVENTS_PER_BEAT,
    NUM_DRUMS,
    NUM_POSITIONS,
    NUM_QUALITIES,
)
from moods.intent import LAYERS

if TYPE_CHECKING:
    from engine.score.columns import Bools
    from engine.score.rules import Rules
    from engine.score.sampling import Rows

_LAST_POSITION = NUM_POSITIONS - 1
_SPARE_EVENTS = 6
"""Room in a beat that is kept for a lead-in which has not come yet."""
_MAX_VOICES = np.array(MAX_VOICES, np.int64)
_DRUMS, _BASS, _HARMONY, _LEAD = (LAYERS.index(name) for name in ("drums", "bass", "harmony", "lead"))


@kernel
def onset_count(rows: Rows, row: int, layer: int, position: int) -> int:
    """Notes of `layer` that already begin at `position`."""
    count = 0
    for i in range(rows.num_events[row]):
        if rows.events[row, i, 0] == FIRST_LAYER + layer and rows.events[row, i, 1] == position:
            count += 1
    return count


@kernel
def _most_voices(rules: Rules, row: int, layer: int) -> int:
    """Notes of `layer` that may begin together: a lead-in is slim, so that it has room to go on; a theme, one line."""
    if plays_theme(rules, row, layer):
        return 1
    return min(2, _MAX_VOICES[layer]) if layer == rules.lead_in[row] else _MAX_VOICES[layer]


@kernel
def _leads_on(rows: Rows, row: int, layer: int, value: int) -> bool:
    """Is `value` near enough to what harmony or lead played before?"""
    if layer == _HARMONY and rows.voicing[row, 0] > 0:
        return abs(2 * value - rows.voicing[row, 0] - rows.voicing[row, 1]) <= 2 * VOICING_REACH
    if layer == _LEAD and rows.last_lead[row] > 0:
        leap = abs(value - rows.last_lead[row])
        return leap <= LEAD_LEAPS or leap == 12
    return True


@kernel
def _allow_pitch(
    rows: Rows, rules: Rules, row: int, layer: int, position: int, last_value: int, value: int, is_leading: bool
) -> bool:
    """May `layer` play `value` at `position`? `last_value` is its highest value there so far, -1 if none.

    `is_leading`: harmony and lead must lead on from what they played before.
    """
    if plays_theme(rules, row, layer) and rules.theme[row, rows.num_notes[row, layer], 1] >= 0:
        return value == rules.theme[row, rows.num_notes[row, layer], 1]
    if value <= last_value:
        return False
    if rules.strike[row] < 0 and layer == _DRUMS:
        return FIRST_DRUM <= value < FIRST_DRUM + NUM_DRUMS
    relative = value - FIRST_PITCH
    if layer != _DRUMS and (relative < rules.low[row, layer] or relative > rules.high[row, layer]):
        return False
    if rules.strike[row] >= 0:
        is_near = not is_leading or _leads_on(rows, row, layer, value)
        return may_strike(rows, rules, row, layer, last_value, value, is_near)
    in_chord = fits_chord(relative, rows.chord[row])
    on_root = rows.chord[row] >= 0 and (relative - rows.chord[row] // NUM_QUALITIES) % 12 == 0
    if rules.ending[row] == LAST_CHORD:
        return in_chord and (on_root or last_value >= 0)  # every layer's lowest note is the tonic
    if is_leading and not _leads_on(rows, row, layer, value):
        return False
    if layer == _LEAD and rules.rests_lead[row] and relative % 12 != 0:
        return False
    # A new chord begins on its root, or on a tonic that stays.
    is_new = rows.num_events[row] > 0 and rows.events[row, 0, 0] == CHORD_EVENT
    is_pedal = rules.has_clusters[row] and relative % 12 == 0
    if layer == _BASS and position == 0 and is_new and not on_root and not is_pedal:
        return False
    if rules.is_free[row]:
        return True
    return rules.scale[row, relative % 12] and (in_chord or layer != _HARMONY or rules.has_clusters[row])


@kernel
def allow_values(rows: Rows, rules: Rules, row: int, layer: int, position: int, allowed: Bools) -> int:
    """Mask of values [NUM_VALUES] for a note of `layer` at `position`; returns how many are allowed."""
    last_value: Any = np.int64(-1)  # plain -1 would be a type of its own, and all that takes it compiled twice
    for i in range(rows.num_events[row]):
        if rows.events[row, i, 0] == FIRST_LAYER + layer and rows.events[row, i, 1] == position:
            last_value = rows.events[row, i, 2]
    count = 0
    # Where nothing within reach is left, as at a change of key, a first note may leap.
    for is_leading in (True, False):
        if count > 0 or (last_value >= 0 and not is_leading):
            break
        allowed[:FIRST_DRUM] = False
        for value in range(FIRST_DRUM, len(allowed)):
            allowed[value] = _allow_pitch(rows, rules, row, layer, position, last_value, value, is_leading)
            count += allowed[value]
    return count


@kernel
def allow_kinds(rows: Rows, rules: Rules, row: int, allowed: Bools, values: Bools) -> None:
    """Mask of kinds. Order in a beat: chord, then notes by (position, layer, value)."""
    count = rows.num_events[row]
    allowed[:] = False
    if count == 0 and rules.must_have_chord[row]:
        allowed[CHORD_EVENT] = True
        return
    allowed[CHORD_EVENT] = count == 0 and rules.may_change_chord[row]
    if rules.strike[row] >= 0:
        missing = missing_layer(rows, rules, row)
        if may_state(rows, rules, row) and (missing < 0 or theme_due(rows, rules, row) < rules.strike[row]):
            missing = _LEAD
        allowed[BEAT if missing < 0 else FIRST_LAYER + missing] = True
        return
    last_position, last_layer = -1, 0
    if count > 0 and rows.events[row, count - 1, 0] >= FIRST_LAYER:
        last_position = rows.events[row, count - 1, 1]
        last_layer = rows.events[row, count - 1, 0] - FIRST_LAYER
    missing_onsets = num_missing_onsets(rows, rules, row)
    missing_theme = max(0, rules.num_theme[row] - rows.num_notes[row, _LEAD])
    sounding = rules.most_ticks[row, _BASS] <= NUM_POSITIONS  # or is to fall silent
    for layer in range(1, NUM_LAYERS):
        sounding = sounding or rows.sounds_until[row, layer] > _LAST_POSITION
    room = False
    for layer in range(NUM_LAYERS):
        # A playing layer may exceed its notes where the beat would otherwise end in silence.
        is_full = rows.num_notes[row, layer] >= rules.max_notes[row, layer]
        may_exceed = layer != _DRUMS and not sounding and rules.max_notes[row, layer] > 0
        leads_in = missing_onsets > 0 and layer == rules.lead_in[row]
        most_events = MAX_EVENTS_PER_BEAT if missing_onsets == 0 or leads_in else MAX_EVENTS_PER_BEAT - _SPARE_EVENTS
        most_events -= missing_theme
        if plays_theme(rules, row, layer):
            allowed[FIRST_LAYER + layer] = may_state(rows, rules, row)
            room = room or allowed[FIRST_LAYER + layer]
            continue
        if count >= most_events or (is_full and not may_exceed and not leads_in):
            continue
        here = last_position >= 0 and layer >= last_layer
        if here and layer == last_layer:
            here = onset_count(rows, row, layer, last_position) < _most_voices(rules, row, layer)
            here = here and allow_values(rows, rules, row, layer, last_position, values) > 0
        soonest, latest = position_bounds(rows, rules, row, layer)
        later = max(last_position + 1, soonest) <= latest and rules.ending[row] != LAST_CHORD
        allowed[FIRST_LAYER + layer] = here or later or last_position < 0
        if layer != _DRUMS:
            room = room or allowed[FIRST_LAYER + layer]
    # A beat may only end in silence where the rules leave nothing else: something pitched must sound into the next.
    must_play = not sounding and room and rules.ending[row] != SILENT
    allowed[BEAT] = not must_play and missing_onsets == 0 and missing_theme == 0
    if must_play:
        allowed[CHORD_EVENT] = False if count > 0 else allowed[CHORD_EVENT]
        allowed[FIRST_LAYER] = (
            allowed[FIRST_LAYER] and last_position < _LAST_POSITION and count < MAX_EVENTS_PER_BEAT - 2
        )


@kernel
def allow_positions(rows: Rows, rules: Rules, row: int, layer: int, allowed: Bools, values: Bools) -> None:
    count = rows.num_events[row]
    first = 0
    if count > 0 and rows.events[row, count - 1, 0] >= FIRST_LAYER:
        first = rows.events[row, count - 1, 1]
        last_layer = rows.events[row, count - 1, 0] - FIRST_LAYER
        full = layer == last_layer and (
            onset_count(rows, row, layer, first) >= _most_voices(rules, row, layer)
            or allow_values(rows, rules, row, layer, first, values) == 0
        )
        if layer < last_layer or full:
            first += 1
    soonest, latest = position_bounds(rows, rules, row, layer)
    for position in range(NUM_POSITIONS):
        if plays_theme(rules, row, layer):
            allowed[position] = position == theme_due(rows, rules, row)
        elif rules.strike[row] >= 0:
            allowed[position] = position == rules.strike[row]
        elif rules.ending[row] == LAST_CHORD:
            allowed[position] = position == first
        else:
            is_chord = onset_count(rows, row, layer, position) > 0
            allowed[position] = first <= position <= latest and (position >= soonest or is_chord)


@kernel
def allow_durations(rows: Rows, rules: Rules, row: int, layer: int, position: int, allowed: Bools) -> None:
    """Mask of durations for a note of `layer` at `position`; only the shortest may ring into a silence."""
    if plays_theme(rules, row, layer):
        for duration in range(len(DURATIONS)):
            allowed[duration] = duration == rules.theme[row, rows.num_notes[row, layer], 2]
        return
    for duration in range(len(DURATIONS)):
        is_over = duration == 0 or position + DURATIONS[duration] <= rules.most_ticks[row, layer]
        allowed[duration] = layer == _DRUMS or (DURATIONS[duration] >= rules.ring_ticks[row] and is_over)
