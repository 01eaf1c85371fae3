"""What the lead takes from earlier bars: their notes, moved, turned or stretched, as what a beat must contain.

In: beats as asked, and the memory; out: the lead's notes in the rules, and shown as recalled. numba; releases the GIL.
Remembers nothing. Steps are those of the running scale, so that a motif stays itself in another mode; a line that would
leave the lead's range is moved by octaves, a bar at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compile import entry, kernel
from engine.notes import TICKS_PER_BEAT
from engine.score.asked import Asked
from engine.score.columns import Bools, Ints
from engine.score.cues import HAS_TONE
from engine.score.memory import MEMORY_BEATS, Kept, num_events
from engine.score.recall import Events, add_event
from engine.score.rules import Rules
from engine.score.theme import CHORD_PULL
from engine.score.vocabulary import (
    DURATIONS,
    FIRST_LAYER,
    FIRST_PITCH,
    MAX_EVENTS_PER_BEAT,
    NUM_CHORDS,
    NUM_FIELDS,
    tonic_shift,
)
from moods.harmony import SCALE_NAMES, SCALES
from moods.intent import BEATS_PER_BAR, LAYERS, OPERATIONS
from moods.theme import MAX_NOTES_PER_BEAT
from moods.tune import whole_scale

FREE_PITCH = -1
"""Value of a note whose rhythm alone is taken."""
_INVERT, _RHYTHM, _STRETCH = (OPERATIONS.index(name) for name in ("invert", "rhythm", "stretch"))
_READ = ("line_back", "line_do", "line_steps", "tonic", "scale", "beat")
"""What is read of a beat that is asked."""
_BACK, _DO, _STEPS, _TONIC, _SCALE, _BEAT = range(len(_READ))
_MOST_IN_BAR = BEATS_PER_BAR * MAX_EVENTS_PER_BEAT
_LEAD = LAYERS.index("lead")
_LEAD_KIND = FIRST_LAYER + _LEAD
_FAR = 1.6
"""How far above the middle of the lead's tessitura a line may go, as a share of what that reaches."""
_HALF_BAR = BEATS_PER_BAR // 2
_TONIC_SHIFT = tonic_shift(np.arange(12))
_AS_IT_WAS: Any = np.int64(0)
_NOWHERE: Any = np.int64(-1)
_NO_AXIS: Any = np.int64(-1000)

# --- scales --------------------------------------------------------------------------------------------------------

_SIZE = np.array([len(SCALES[name]) for name in SCALE_NAMES])
_SCALE_STEPS = np.zeros((len(SCALE_NAMES), max(_SIZE)), np.int64)  # semitones of each step
for _index, _name in enumerate(SCALE_NAMES):
    _SCALE_STEPS[_index, : _SIZE[_index]] = SCALES[_name]


def _same_step(source: str, scale: str, semitones: int) -> int:
    """The note of `scale` that is the same step as one of `source`, in semitones above the tonic; what is no step keeps
    its distance from it."""
    if source == scale or semitones not in SCALES[source]:
        return semitones
    step = SCALES[whole_scale(source)].index(semitones)
    wanted = SCALES[whole_scale(scale)][step]
    return min(SCALES[scale], key=lambda each: (abs(each - wanted), each))


_SAME_STEP = np.array(
    [[[_same_step(source, scale, i) for i in range(12)] for scale in SCALE_NAMES] for source in SCALE_NAMES]
)


@kernel
def _step_of(scale: int, semitones: int) -> int:
    """Number of the step at or below a pitch `semitones` above the tonic, the octaves counted in."""
    octave, above = semitones // 12, semitones % 12
    step = 0
    while step + 1 < _SIZE[scale] and _SCALE_STEPS[scale, step + 1] <= above:
        step += 1
    return octave * _SIZE[scale] + step


@kernel
def _semitones(scale: int, step: int) -> int:
    return step // _SIZE[scale] * 12 + _SCALE_STEPS[scale, step % _SIZE[scale]]


@kernel
def _in_scale(source_scale: int, scale: int, relative: int) -> int:
    """A pitch of `source_scale`, relative to the tonic, as it is in `scale`."""
    return relative // 12 * 12 + _SAME_STEP[source_scale, scale, relative % 12]


@kernel
def _moved(scale: int, pitch: int, steps: int, axis: int) -> int:
    """A pitch relative to the tonic, turned about the step `axis` and moved by `steps`."""
    if steps == 0 and axis == _NO_AXIS:
        return pitch
    step = _step_of(scale, pitch)
    return _semitones(scale, steps + (step if axis == _NO_AXIS else 2 * axis - step))


# --- lines ---------------------------------------------------------------------------------------------------------


@kernel
def _scale_of(kept: Kept, slot: int, beat: int) -> Any:
    return np.int64(kept.key[slot, beat % MEMORY_BEATS, 1])


@kernel
def _has_lead(kept: Kept, slot: int, first_beat: int, end_beat: int) -> bool:
    for beat in range(max(first_beat, 0), end_beat):
        events = kept.events[slot, beat % MEMORY_BEATS]
        for i in range(num_events(kept, slot, beat)):
            if events[i, 0] == _LEAD_KIND:
                return True
    return False


@kernel
def _lead_of_bar(kept: Kept, slot: int, source: int, end_beat: int, scale: int, pitches: Ints) -> int:
    """Put the lead's pitches of a source's bar into pitches [_MOST_IN_BAR], as they are in `scale` and relative to the
    tonic that they had; how many there are."""
    first, count = source - source % BEATS_PER_BAR, 0
    for beat in range(first, min(first + BEATS_PER_BAR, end_beat)):
        events = kept.events[slot, beat % MEMORY_BEATS]
        for i in range(num_events(kept, slot, beat)):
            if events[i, 0] == _LEAD_KIND:
                relative: Any = np.int64(events[i, 2]) - FIRST_PITCH
                pitches[count] = _in_scale(_scale_of(kept, slot, beat), scale, relative)
                count += 1
    return count


@kernel
def _octaves(
    kept: Kept, rules: Rules, slot: int, source: int, pitches: Ints, tonic: int, scale: int, steps: int, axis: int
) -> int:
    """Semitones by which a source's bar, its pitches [N], is moved so that it lies where it lay, and within the lead's
    range; what is not as it was, within its tessitura."""
    top = rules.high[slot, _LEAD]
    if steps != 0 or axis != _NO_AXIS:
        top = min(top, np.int64(rules.home[slot, _LEAD] + _FAR * rules.reach[slot, _LEAD]))
    shift = _AS_IT_WAS
    apart = _TONIC_SHIFT[tonic] - _TONIC_SHIFT[kept.key[slot, source % MEMORY_BEATS, 0]]
    if abs(apart) > 6:
        shift += 12 if apart < 0 else -12
    lowest, highest = 127, -127
    for each in pitches:
        pitch = _moved(scale, each, steps, axis)
        lowest, highest = min(lowest, pitch), max(highest, pitch)
    while lowest + shift < rules.low[slot, _LEAD]:
        shift += 12
    while highest + shift > top:
        shift -= 12
    return shift


@kernel
def _follow(
    kept: Kept, rules: Rules, slot: int, beat: int, line: Ints, pitches: Ints, event: Ints, shown: Ints, num_shown: int
) -> int:
    """Write the notes of one beat, `line` its numbers as in `_READ`; the new number of what is shown."""
    source, do, steps, scale = beat - line[_BACK], line[_DO], line[_STEPS], line[_SCALE]
    num_pitches = _lead_of_bar(kept, slot, source, beat, scale, pitches)
    axis = _NO_AXIS
    if do == _INVERT:  # about its first note
        axis = _step_of(scale, pitches[0]) if num_pitches > 0 else _AS_IT_WAS
    shift = _octaves(kept, rules, slot, source, pitches[:num_pitches], line[_TONIC], scale, steps, axis)
    place, count, last = source % MEMORY_BEATS, 0, _NOWHERE
    rate = 2 if do == _STRETCH else 1
    first = line[_BEAT] % 2 * TICKS_PER_BEAT // 2 if do == _STRETCH else _AS_IT_WAS
    for i in range(num_events(kept, slot, source)):
        for field in range(len(event)):
            event[field] = kept.events[slot, place, i, field]
        at = rate * (event[1] - first)
        if event[0] != _LEAD_KIND or at < 0 or at >= TICKS_PER_BEAT or count == MAX_NOTES_PER_BEAT or at == last:
            continue
        pitch = _in_scale(_scale_of(kept, slot, source), scale, event[2] - FIRST_PITCH)
        pitch = shift + _moved(scale, pitch, steps, axis)
        if not rules.scale[slot, pitch % 12]:
            pitch = _semitones(scale, _step_of(scale, pitch))
        while pitch < rules.low[slot, _LEAD]:
            pitch += 12
        while pitch > rules.high[slot, _LEAD]:
            pitch -= 12
        length = event[3]
        while DURATIONS[event[3]] < rate * DURATIONS[length] and event[3] + 1 < len(DURATIONS):
            event[3] += 1
        while event[3] > 0 and at + DURATIONS[event[3]] > rules.most_ticks[slot, _LEAD]:
            event[3] -= 1
        event[1], event[2], last = at, FIRST_PITCH + pitch, at
        rules.theme[slot, count, 0], rules.theme[slot, count, 2] = at, event[3]
        rules.theme[slot, count, 1] = FREE_PITCH if do == _RHYTHM else event[2]
        count += 1
        if do != _RHYTHM:
            num_shown = add_event(shown, num_shown, event)
    rules.num_theme[slot], rules.max_notes[slot, _LEAD], rules.theme_softest[slot] = count, count, 0
    return num_shown


@kernel
def _pull_chords(rules: Rules, slot: int) -> None:
    """Lean towards the chords that have the lead's notes of this beat, by how long they sound in the half bar."""
    for chord in range(NUM_CHORDS):
        for i in range(rules.num_theme[slot]):
            value = rules.theme[slot, i, 1]
            if value != FREE_PITCH and HAS_TONE[chord, (value - FIRST_PITCH) % 12]:
                ticks = min(DURATIONS[rules.theme[slot, i, 2]], _HALF_BAR * TICKS_PER_BEAT - rules.theme[slot, i, 0])
                rules.chord_bias[slot, chord] += np.float32(CHORD_PULL * ticks / (_HALF_BAR * TICKS_PER_BEAT))


@entry("engine.score")
def _follow_all(
    kept: Kept, rules: Rules, slots: Ints, beats: Ints, lines: Ints, pitches: Ints, event: Ints, shown: Ints,
    counts: Ints, is_followed: Bools,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        slot, beat = slots[i], beats[i]
        source = beat - lines[i, _BACK]
        place = source % MEMORY_BEATS
        if source < 0 or source >= beat or kept.beat[slot, place] != source:
            continue
        first = source - source % BEATS_PER_BAR
        if not _has_lead(kept, slot, first - BEATS_PER_BAR, min(beat, first + BEATS_PER_BAR)):
            continue  # it was silent there, so that nothing is to come back
        is_followed[i] = True
        counts[i] = _follow(kept, rules, slot, beat, lines[i], pitches, event, shown[slot], counts[i])
        if rules.may_change_chord[slot]:
            _pull_chords(rules, slot)


def follow_lines(
    kept: Kept, rules: Rules, slots: Ints, beats: Ints, asked: Asked, shown: Events, counts: Ints
) -> Bools:
    """Write what the lead takes from earlier bars in beats [N] of slots [N] into their rules, which hold all else, and
    into shown[slot, MAX_EVENTS_PER_BEAT, 5], in order, of which there are then counts [N]. Which beats [N] do?"""
    is_followed = np.zeros(len(slots), np.bool_)
    wanted = np.flatnonzero((asked["line_back"] > 0) & (rules.max_notes[slots, _LEAD] > 0))
    lines = np.stack([asked[name][wanted] for name in _READ], axis=1).astype(np.int64)
    found, some = np.zeros(len(wanted), np.bool_), counts[wanted]
    pitches, event = np.zeros(_MOST_IN_BAR, np.int64), np.zeros(NUM_FIELDS, np.int64)
    # Called with none, too, so that it is compiled before the music begins and not when it first returns.
    _follow_all(kept, rules, slots[wanted], beats[wanted], lines, pitches, event, shown, some, found)
    counts[wanted], is_followed[wanted] = some, found
    return is_followed
