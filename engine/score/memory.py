"""What stations have composed lately, kept so that it can return. In: beats; out: the beats that a beat recalls.

Remembers, per slot, the events and the mood of the last `MEMORY_BEATS` beats. One thread calls it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.score.recall import add_lane
from engine.score.vocabulary import MAX_EVENTS_PER_BEAT
from moods.intent import BEATS_PER_BAR, LANES, STYLES, Intent

MEMORY_BEATS = 256 * BEATS_PER_BAR
"""Longer than the rounds of moods/form.py, in which themes return."""
_LEAST_CLOSENESS = 0.15
"""A lane that is to follow less closely than this follows nothing."""
_NOTHING = -1

_MOOD = ("valence", "energy")


class Memory:
    """The beats of `num_slots` slots; zeroed pages cost nothing until they are used."""

    def __init__(self, num_slots: int) -> None:
        self._beat = np.full((num_slots, MEMORY_BEATS), _NOTHING, np.int64)
        self._events = np.zeros((num_slots, MEMORY_BEATS, MAX_EVENTS_PER_BEAT, 5), np.int16)
        self._num_events = np.zeros((num_slots, MEMORY_BEATS), np.int16)
        self._mood = np.zeros((num_slots, MEMORY_BEATS, len(_MOOD) + len(STYLES)), np.float32)

    def clear(self, slot: int) -> None:
        self._beat[slot] = _NOTHING

    def remember(self, slot: int, beat: int, events: npt.NDArray[np.int64], intent: Intent) -> None:
        """Keep the events [N, 5] of a beat, in place of any that it had before."""
        place = beat % MEMORY_BEATS
        self._beat[slot, place] = beat
        self._events[slot, place, : len(events)] = events
        self._num_events[slot, place] = len(events)
        self._mood[slot, place] = _mood(intent)

    def events(self, slot: int, beat: int) -> npt.NDArray[np.int16]:
        """The events [N, 5] of one of the last `MEMORY_BEATS` beats; none where it is not remembered."""
        place = beat % MEMORY_BEATS
        return self._events[slot, place, : self._num_events[slot, place] if self._beat[slot, place] == beat else 0]

    def recall(
        self, slot: int, beat: int, intent: Intent, out: npt.NDArray[np.int64]
    ) -> tuple[int, tuple[float | None, ...]]:
        """Put what `beat` recalls into out [MAX_EVENTS_PER_BEAT, 5]; how many events, and how closely each lane is to
        follow, None where nothing is recalled.

        The further the mood has moved since, the more loosely lanes follow: a tune survives a change of style, a
        groove does not.
        """
        count, closeness, mood = 0, [], _mood(intent)
        for lane, asked in enumerate(intent.recall):
            is_silent = lane > 0 and not intent.active_layers[lane - 1]
            near = None if is_silent else self._closeness(slot, beat, mood, lane, asked)
            closeness.append(near)
            if asked is not None and near is not None:
                events = self.events(slot, beat - asked[0] * BEATS_PER_BAR)
                count = add_lane(out, count, events.astype(np.int64), lane)
        return count, tuple(closeness)

    def _closeness(
        self, slot: int, beat: int, mood: npt.NDArray[np.float32], lane: int, asked: tuple[int, float] | None
    ) -> float | None:
        if asked is None:
            return None
        source = beat - asked[0] * BEATS_PER_BAR
        if source < 0 or self._beat[slot, source % MEMORY_BEATS] != source:
            return None
        change = np.abs(mood - self._mood[slot, source % MEMORY_BEATS])
        valence, energy, style = float(change[0]) / 2, float(change[1]), float(change[len(_MOOD) :].sum()) / 2
        if LANES[lane] == "chords":
            kept = 1 - 1.5 * valence - 0.5 * style
        elif LANES[lane] == "lead":
            kept = 1 - 0.3 * style - 0.3 * energy
        else:
            kept = 1 - style - energy
        closeness = asked[1] * max(0.0, kept)
        return closeness if closeness >= _LEAST_CLOSENESS else None

    def snapshot(self, slot: int) -> dict[str, Any]:
        """What is kept of one slot."""
        places = np.flatnonzero(self._beat[slot] != _NOTHING)
        most = int(self._num_events[slot, places].max(initial=0))
        return {
            "beat": self._beat[slot, places],
            "events": self._events[slot, places, :most],
            "num_events": self._num_events[slot, places],
            "mood": self._mood[slot, places],
        }

    def restore(self, slot: int, snapshot: dict[str, Any]) -> None:
        self.clear(slot)
        places = snapshot["beat"] % MEMORY_BEATS
        self._beat[slot, places] = snapshot["beat"]
        self._events[slot, places, : snapshot["events"].shape[1]] = snapshot["events"]
        self._num_events[slot, places] = snapshot["num_events"]
        self._mood[slot, places] = snapshot["mood"]


def _mood(intent: Intent) -> npt.NDArray[np.float32]:
    return np.array([*(getattr(intent, name) for name in _MOOD), *intent.style], np.float32)
