"""Notices a composer that has lost itself, beat by beat. In: finished beats and those before them; out: what is wrong.

A pure reading of the memory, so that it finds the same whenever a beat is composed; any thread. A beat at fault is
composed again before anybody hears it (see composer.py), and counted. numba; releases the GIL.
"""

from __future__ import annotations

import numpy as np

from engine.compile import entry, kernel
from engine.score.asked import NEVER, NO_CUE, Asked
from engine.score.columns import Bools, Ints
from engine.score.memory import MEMORY_BEATS, Kept, Memory, num_events
from engine.score.vocabulary import FIRST_LAYER
from moods.intent import BEATS_PER_BAR, LAYERS

FAULTS = ("silence", "stuck note", "runaway density", "literal loop")
NO_FAULT = -1
_SILENCE, _STUCK_NOTE, _RUNAWAY_DENSITY, _LITERAL_LOOP = range(len(FAULTS))
MAX_SAME_BARS = 4
"""A bar may stand this often in a row."""
MAX_SILENT_BEATS = 3 * BEATS_PER_BAR
"""Beats in which nothing begins; the longest note holds for four bars."""
STUCK_BEATS = 12 * BEATS_PER_BAR
"""Longer than a section of eight bars, for which a pulse on one pitch may be meant."""
_STUCK_ONSETS = 36
_RUNAWAY_NOTES = 24
"""Notes of one beat; drums, chord and three lines in sixteenths have 23."""

_TUNEFUL = np.array([LAYERS.index("texture"), LAYERS.index("lead")])


def find_faults(memory: Memory, slots: Ints, beats: Ints, asked: Asked) -> Ints:
    """What is wrong with beats [N] of slots [N], which are already in the memory: indices into FAULTS, or NO_FAULT."""
    faults = np.full(len(slots), NO_FAULT)
    # What is to be silent or the same has been asked for.
    is_free = (asked["beats_to_end"] == NEVER) & (asked["cue"] == NO_CUE)
    _find_faults(memory.kept, slots, beats, is_free, asked["beat"] == BEATS_PER_BAR - 1, faults)
    return faults


def find_loops(memory: Memory, slots: Ints, beats: Ints, num_beats: int) -> Bools:
    """[N]: do the `num_beats` up to beats [N], of one bar, repeat those of each of the `MAX_SAME_BARS` bars before?"""
    loops = np.zeros(len(slots), np.bool_)
    _find_loops(memory.kept, slots, beats, num_beats, loops)
    return loops


@entry("engine.score")
def _find_faults(kept: Kept, slots: Ints, beats: Ints, is_free: Bools, is_last: Bools, faults: Ints) -> None:
    for i in range(len(slots)):
        if is_free[i]:
            faults[i] = _fault(kept, slots[i], beats[i], is_last[i])


@entry("engine.score")
def _find_loops(kept: Kept, slots: Ints, beats: Ints, num_beats: int, loops: Bools) -> None:
    for i in range(len(slots)):
        loops[i] = _is_loop(kept, slots[i], beats[i], num_beats)


@kernel
def _fault(kept: Kept, slot: int, beat: int, is_last_of_bar: bool) -> int:
    if _num_notes(kept, slot, beat) > _RUNAWAY_NOTES:
        return _RUNAWAY_DENSITY
    if _is_silent(kept, slot, beat):
        return _SILENCE
    if is_last_of_bar and _is_loop(kept, slot, beat, BEATS_PER_BAR):
        return _LITERAL_LOOP
    for layer in _TUNEFUL:
        if _is_stuck(kept, slot, beat, FIRST_LAYER + layer):
            return _STUCK_NOTE
    return NO_FAULT


@kernel
def _num_notes(kept: Kept, slot: int, beat: int) -> int:
    count, events = 0, kept.events[slot, beat % MEMORY_BEATS]
    for i in range(num_events(kept, slot, beat)):
        if events[i, 0] >= FIRST_LAYER:
            count += 1
    return count


@kernel
def _is_silent(kept: Kept, slot: int, beat: int) -> bool:
    """Has nothing begun for too long?"""
    if beat < MAX_SILENT_BEATS:
        return False
    count = 0
    for back in range(MAX_SILENT_BEATS):
        count += _num_notes(kept, slot, beat - back)
    return count == 0


@kernel
def _is_same(kept: Kept, slot: int, one: int, other: int) -> bool:
    """Have two beats the same notes at the same positions, however long and loud?"""
    count = num_events(kept, slot, one)
    if count != num_events(kept, slot, other):
        return False
    first, second = kept.events[slot, one % MEMORY_BEATS], kept.events[slot, other % MEMORY_BEATS]
    for i in range(count):
        for field in range(3):
            if first[i, field] != second[i, field]:
                return False
    return True


@kernel
def _is_loop(kept: Kept, slot: int, beat: int, num_beats: int) -> bool:
    if beat + 1 < MAX_SAME_BARS * BEATS_PER_BAR + num_beats:
        return False
    for back in range(num_beats):
        for bars in range(1, MAX_SAME_BARS + 1):
            if not _is_same(kept, slot, beat - back, beat - back - bars * BEATS_PER_BAR):
                return False
    return True


@kernel
def _is_stuck(kept: Kept, slot: int, beat: int, kind: int) -> bool:
    """Has a melodic layer struck one single pitch, again and again, for `STUCK_BEATS`?"""
    if beat < STUCK_BEATS:
        return False
    onsets, pitch = 0, np.int64(-1)
    for back in range(STUCK_BEATS):
        events = kept.events[slot, (beat - back) % MEMORY_BEATS]
        for i in range(num_events(kept, slot, beat - back)):
            if events[i, 0] == kind:
                if pitch >= 0 and events[i, 2] != pitch:
                    return False
                pitch = np.int64(events[i, 2])
                onsets += 1
        if pitch < 0:
            return False  # it has left off
    return onsets >= _STUCK_ONSETS
