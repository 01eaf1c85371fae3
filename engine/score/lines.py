"""What the lead takes from earlier bars: their notes, moved, turned or stretched, as what a beat must contain.

In: beats as asked, and the memory; out: the lead's notes in the rules, and shown as recalled. numba; releases the GIL.
Remembers nothing. Steps are those of the running scale, so that a motif stays itself in another mode; a line that would
leave the lead's range is moved by octaves, a bar at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compile import entry, kernel
from engine.notes import TICKS_PER_BEAT
from engine.score.columns import Bools, Ints
from engine.score.cues import HAS_TONE
from engine.score.memory import MEMORY_BEATS, Kept, num_events
from engine.score.recall import Events, add_event
from engine.score.rules import Rules
from engine.score.vocabulary import DURATIONS, FIRST_LAYER, FIRST_PITCH, NUM_CHORDS, tonic_shift
from moods.harmony import SCALE_NAMES, SCALES
from moods.intent import BEATS_PER_BAR, LAYERS, OPERATIONS
from moods.theme import MAX_NOTES_PER_BEAT
from moods.tune import whole_scale

FREE_PITCH = -1
"""Value of a note whose rhythm alone is taken."""
_INVERT, _RHYTHM, _STRETCH = (OPERATIONS.index(name) for name in ("invert", "rhythm", "stretch"))
_LEAD = LAYERS.index("lead")
_LEAD_KIND = FIRST_LAYER + _LEAD
_CHORD_PULL = 2.0
"""Added to the logit of a chord whose tones the lead plays all through half a bar."""
_FAR = 1.6
"""How far above the middle of the lead's tessitura a line may go, as a share of what that reaches."""
_HALF_BAR = BEATS_PER_BAR // 2
_TONIC_SHIFT = tonic_shift(np.arange(12))
_AS_IT_WAS: Any = np.int64(0)
_NOWHERE: Any = np.int64(-1)
_NO_AXIS: Any = np.int64(-1000)

# --- scales --------------------------------------------------------------------------------------------------------

_SIZE = np.array([len(SCALES[name]) for name in SCALE_NAMES])
_STEPS = np.zeros((len(SCALE_NAMES), max(_SIZE)), np.int64)  # semitones of each step
for _index, _name in enumerate(SCALE_NAMES):
    _STEPS[_index, : _SIZE[_index]] = SCALES[_name]


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
    while step + 1 < _SIZE[scale] and _STEPS[scale, step + 1] <= above:
        step += 1
    return octave * _SIZE[scale] + step


@kernel
def _semitones(scale: int, step: int) -> int:
    return step // _SIZE[scale] * 12 + _STEPS[scale, step % _SIZE[scale]]


@kernel
def _moved(source_scale: int, scale: int, relative: int, steps: int, axis: int) -> int:
    """A pitch `relative` to the tonic as it is in `scale`, turned about the step `axis` and moved by `steps`."""
    here = relative // 12 * 12 + _SAME_STEP[source_scale, scale, relative % 12]
    if steps == 0 and axis == _NO_AXIS:
        return here
    step = _step_of(scale, here)
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
def _axis(kept: Kept, slot: int, source: int, end_beat: int, scale: int) -> int:
    """The step of the first note of a source's bar, about which it is turned."""
    first = source - source % BEATS_PER_BAR
    for beat in range(first, min(first + BEATS_PER_BAR, end_beat)):
        place = beat % MEMORY_BEATS
        for i in range(num_events(kept, slot, beat)):
            event = kept.events[slot, place, i]
            if event[0] == _LEAD_KIND:
                relative: Any = np.int64(event[2]) - FIRST_PITCH
                return _step_of(scale, _moved(_scale_of(kept, slot, beat), scale, relative, _AS_IT_WAS, _NO_AXIS))
    return _AS_IT_WAS


@kernel
def _octaves(
    kept: Kept, rules: Rules, slot: int, source: int, end_beat: int, tonic: int, scale: int, steps: int, axis: int
) -> int:
    """Semitones by which the bar of a source is moved so that it lies where it lay, and within the lead's range; what
    is not as it was, within its tessitura."""
    top = rules.high[slot, _LEAD]
    if steps != 0 or axis != _NO_AXIS:
        top = min(top, np.int64(rules.home[slot, _LEAD] + _FAR * rules.reach[slot, _LEAD]))
    shift = _AS_IT_WAS
    apart = _TONIC_SHIFT[tonic] - _TONIC_SHIFT[kept.key[slot, source % MEMORY_BEATS, 0]]
    if abs(apart) > 6:
        shift += 12 if apart < 0 else -12
    lowest, highest = 127, -127
    first = source - source % BEATS_PER_BAR
    for beat in range(first, min(first + BEATS_PER_BAR, end_beat)):
        place = beat % MEMORY_BEATS
        for i in range(num_events(kept, slot, beat)):
            event = kept.events[slot, place, i]
            if event[0] == _LEAD_KIND:
                relative: Any = np.int64(event[2]) - FIRST_PITCH
                pitch = _moved(_scale_of(kept, slot, beat), scale, relative, steps, axis)
                lowest, highest = min(lowest, pitch), max(highest, pitch)
    while lowest + shift < rules.low[slot, _LEAD]:
        shift += 12
    while highest + shift > top:
        shift -= 12
    return shift


@kernel
def _follow(
    kept: Kept, rules: Rules, slot: int, beat: int, asked: Events, event: Events, shown: Ints, num_shown: int
) -> int:
    """Write the notes of one beat; the new number of what is shown."""
    source, do, steps, tonic, scale, half = beat - asked[0], asked[1], asked[2], asked[3], asked[4], asked[5] % 2
    axis = _axis(kept, slot, source, beat, scale) if do == _INVERT else _NO_AXIS
    shift = _octaves(kept, rules, slot, source, beat, tonic, scale, steps, axis)
    place, count, last = source % MEMORY_BEATS, 0, _NOWHERE
    rate = 2 if do == _STRETCH else 1
    first = half * TICKS_PER_BEAT // 2 if do == _STRETCH else _AS_IT_WAS
    for i in range(num_events(kept, slot, source)):
        for field in range(len(event)):
            event[field] = kept.events[slot, place, i, field]
        at = rate * (event[1] - first)
        if event[0] != _LEAD_KIND or at < 0 or at >= TICKS_PER_BEAT or count == MAX_NOTES_PER_BEAT or at == last:
            continue
        pitch = shift + _moved(_scale_of(kept, slot, source), scale, event[2] - FIRST_PITCH, steps, axis)
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
def _pull_chords(rules: Rules, slot: int, weight: float) -> None:
    """Lean towards the chords that have the lead's notes of this beat, by how long they sound in the half bar."""
    for chord in range(NUM_CHORDS):
        for i in range(rules.num_theme[slot]):
            value = rules.theme[slot, i, 1]
            if value != FREE_PITCH and HAS_TONE[chord, (value - FIRST_PITCH) % 12]:
                ticks = min(DURATIONS[rules.theme[slot, i, 2]], _HALF_BAR * TICKS_PER_BEAT - rules.theme[slot, i, 0])
                rules.chord_bias[slot, chord] += np.float32(weight * ticks / (_HALF_BAR * TICKS_PER_BEAT))


@entry("engine.score")
def _follow_all(
    kept: Kept, rules: Rules, slots: Ints, beats: Ints, asked: Events, event: Ints, shown: Ints,
    counts: Ints, is_followed: Bools,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        slot, beat = slots[i], beats[i]
        source = beat - asked[i, 0]
        place = source % MEMORY_BEATS
        if source < 0 or source >= beat or kept.beat[slot, place] != source:
            continue
        first = source - source % BEATS_PER_BAR
        if not _has_lead(kept, slot, first - BEATS_PER_BAR, min(beat, first + BEATS_PER_BAR)):
            continue  # it was silent there, so that nothing is to come back
        is_followed[i] = True
        counts[i] = _follow(kept, rules, slot, beat, asked[i], event, shown[slot], counts[i])
        if rules.may_change_chord[slot]:
            _pull_chords(rules, slot, _CHORD_PULL)


_READ = ("line_back", "line_do", "line_steps", "tonic", "scale", "beat")


def follow_lines(
    kept: Kept, rules: Rules, slots: Ints, beats: Ints, asked: npt.NDArray[np.void], shown: Events, counts: Ints
) -> Bools:
    """Write what the lead takes from earlier bars in beats [N] of slots [N] into their rules, which hold all else, and
    into shown[slot, MAX_EVENTS_PER_BEAT, 5], in order, of which there are then counts [N]. Which beats [N] do?"""
    is_followed = np.zeros(len(slots), np.bool_)
    wanted = np.flatnonzero((asked["line_back"] > 0) & (rules.max_notes[slots, _LEAD] > 0))
    if len(wanted):
        rows = np.stack([asked[name][wanted] for name in _READ], axis=1).astype(np.int64)
        found, some = np.zeros(len(wanted), np.bool_), counts[wanted]
        _follow_all(kept, rules, slots[wanted], beats[wanted], rows, np.zeros(5, np.int64), shown, some, found)
        counts[wanted], is_followed[wanted] = some, found
    return is_followed
