"""Notices a composer that has lost itself, beat by beat. In: a finished beat and those before it; out: what is wrong.

A pure reading of the memory, so that it finds the same whenever a beat is composed; any thread. A beat at fault is
composed again before anybody hears it (see composer.py), and counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.score.memory import Memory
from engine.score.vocabulary import FIRST_LAYER
from moods.intent import BEATS_PER_BAR, LAYERS, Intent

FAULTS = ("silence", "stuck note", "runaway density", "literal loop")
MAX_SAME_BARS = 4
"""A bar may stand this often in a row."""
MAX_SILENT_BEATS = 3 * BEATS_PER_BAR
"""Beats in which nothing begins; the longest note holds for four bars."""
STUCK_BEATS = 12 * BEATS_PER_BAR
"""Longer than a section of eight bars, for which a pulse on one pitch may be meant."""
_STUCK_ONSETS = 36
_RUNAWAY_NOTES = 24
"""Notes of one beat; drums, chord and three lines in sixteenths have 23."""

_TUNEFUL = (LAYERS.index("texture"), LAYERS.index("lead"))


def find_fault(memory: Memory, slot: int, beat: int, intent: Intent) -> str | None:
    """What is wrong with `beat`, which is already in the memory: one of FAULTS, or None."""
    if intent.beats_to_end is not None or intent.cue != "none":
        return None  # what is to be silent or the same has been asked for
    events = memory.events(slot, beat)
    if _num_notes(events) > _RUNAWAY_NOTES:
        return "runaway density"
    if _is_silent(memory, slot, beat):
        return "silence"
    if intent.beat == BEATS_PER_BAR and is_loop(memory, slot, beat):
        return "literal loop"
    if any(_is_stuck(memory, slot, beat, layer) for layer in _TUNEFUL):
        return "stuck note"
    return None


def _num_notes(events: npt.NDArray[np.int16]) -> int:
    return int((events[:, 0] >= FIRST_LAYER).sum())


def _is_silent(memory: Memory, slot: int, beat: int) -> bool:
    """Has nothing begun for too long?"""
    if beat < MAX_SILENT_BEATS:
        return False
    return not any(_num_notes(memory.events(slot, beat - back)) for back in range(MAX_SILENT_BEATS))


def is_loop(memory: Memory, slot: int, beat: int, beats: int = BEATS_PER_BAR) -> bool:
    """Do the `beats` up to `beat`, of one bar, repeat those of each of the `MAX_SAME_BARS` bars before it?"""
    if beat + 1 < MAX_SAME_BARS * BEATS_PER_BAR + beats:
        return False
    for back in range(beats):
        last = memory.events(slot, beat - back)[:, :3]
        for bars in range(1, MAX_SAME_BARS + 1):
            if not np.array_equal(last, memory.events(slot, beat - back - bars * BEATS_PER_BAR)[:, :3]):
                return False
    return True


def _is_stuck(memory: Memory, slot: int, beat: int, layer: int) -> bool:
    """Has a melodic layer struck one single pitch, again and again, for `STUCK_BEATS`?"""
    own = _pitches(memory, slot, beat, layer)
    if beat < STUCK_BEATS or len(own) != 1:
        return False
    onsets = 0
    for back in range(STUCK_BEATS):
        events = memory.events(slot, beat - back)
        pitches = events[events[:, 0] == FIRST_LAYER + layer, 2]
        if set(pitches.tolist()) - own:
            return False
        onsets += len(pitches)
    return onsets >= _STUCK_ONSETS


def _pitches(memory: Memory, slot: int, beat: int, layer: int) -> set[int]:
    events = memory.events(slot, beat)
    return set(events[events[:, 0] == FIRST_LAYER + layer, 2].tolist())
