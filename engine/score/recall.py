"""What a beat returns to: the notes of an earlier beat, shown to the model one event ahead of what it writes.

In: events of earlier beats; out: for every event of a beat, the first recalled event that comes after it. numba;
releases the GIL. Remembers nothing: the composer and the data set keep the beats.

The model is free to follow: the strength in its condition says how literally the lane was (in training) or is to be
(live) repeated. After the aligned theme conditioning of Shih et al. 2022 (Theme Transformer, arXiv:2111.04093) and the
structure-related bars of Yu et al. 2022 (Museformer, arXiv:2210.10349), without their cost: attention stays as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compile import entry, kernel
from engine.score.columns import Ints
from engine.score.vocabulary import BEAT, CHORD_EVENT, MAX_EVENTS_PER_BEAT, NO_RECALL, NUM_KINDS, NUM_VALUES

Events = npt.NDArray[Any]
"""[N, 5], of whatever kind of integer; one event is a row."""


@kernel
def copy_event(event: Events, out: Ints) -> None:
    """What `out[:] = event` does, which would compile numba's formatting of shapes for its error: three seconds."""
    for i in range(len(out)):
        out[i] = event[i]


@kernel
def event_key(event: Events) -> Any:
    """Place of an event in the order of its beat: the chord, then notes by (position, layer, value)."""
    if event[0] <= BEAT:
        return np.int64(-1)
    position = 0 if event[0] == CHORD_EVENT else 1 + np.int64(event[1])
    return (position * NUM_KINDS + np.int64(event[0])) * NUM_VALUES + np.int64(event[2])


@kernel
def lane_of(kind: int) -> int:
    """Index into moods.intent.LANES of an event's kind, -1 for BAR and BEAT."""
    return -1 if kind <= BEAT else kind - CHORD_EVENT


@kernel
def add_event(out: Ints, count: int, event: Events) -> int:
    """Put an event among the first `count` of out [MAX_EVENTS_PER_BEAT, 5], in order; the new count."""
    if count == MAX_EVENTS_PER_BEAT:
        return count
    key, place = event_key(event), count
    while place > 0 and event_key(out[place - 1]) > key:
        copy_event(out[place - 1], out[place])
        place -= 1
    copy_event(event, out[place])
    return count + 1


@kernel
def _add_lane(out: Ints, count: int, events: Events, lane: int) -> int:
    """Put the events of `lane` among `events` [N, 5] into out [MAX_EVENTS_PER_BEAT, 5], in order; the new count."""
    for i in range(len(events)):
        if lane_of(events[i, 0]) == lane:
            count = add_event(out, count, events[i])
    return count


@entry("engine.score")
def recall_lanes(kept: Events, num_kept: Events, slots: Ints, sources: Ints, out: Ints, counts: Ints) -> None:
    """Put what lanes recall into out[slot, MAX_EVENTS_PER_BEAT, 5] for each of slots [N], and how much into counts [N].

    kept [S, beats, MAX_EVENTS_PER_BEAT, 5] and num_kept [S, beats] are events, each beat at its number modulo beats;
    sources [N, lanes] are the beats recalled, -1 for none.
    """
    for i in range(len(slots)):
        for lane in range(sources.shape[1]):
            if sources[i, lane] >= 0:
                place = sources[i, lane] % kept.shape[1]
                events = kept[slots[i], place, : num_kept[slots[i], place]]
                counts[i] = _add_lane(out[slots[i]], counts[i], events, lane)


@kernel
def show_next(recalled: Ints, count: int, is_recalling: bool, event: Events, out: Ints) -> None:
    """Write into out [5] the first of recalled[:count] that comes after `event`; BEAT where there is none."""
    for field in range(len(out)):
        out[field] = 0
    out[0] = BEAT if is_recalling else NO_RECALL
    if not is_recalling:
        return
    key = event_key(event)
    for i in range(count):
        if event_key(recalled[i]) > key:
            copy_event(recalled[i], out)
            return


def recall_beats(events: Ints, beat_starts: Ints, sources: Ints, out: Ints) -> None:
    """Recalled events of whole beats at once: out [T, 5] for events [T, 5].

    beat_starts [beats + 1]; sources [beats, lanes] the beat each lane recalls, -1 for none.
    """
    _recall_beats(events, beat_starts, sources, np.zeros((MAX_EVENTS_PER_BEAT, 5), np.int64), out)


@entry("engine.score")
def _recall_beats(events: Events, beat_starts: Ints, sources: Ints, recalled: Ints, out: Ints) -> None:
    for beat in range(len(sources)):
        count, is_recalling = 0, False
        for lane in range(sources.shape[1]):
            source = sources[beat, lane]
            if source >= 0:
                is_recalling = True
                inside = events[beat_starts[source] : beat_starts[source + 1]]
                count = _add_lane(recalled, count, inside, lane)
        for i in range(beat_starts[beat], beat_starts[beat + 1]):
            show_next(recalled, count, is_recalling, events[i], out[i])
