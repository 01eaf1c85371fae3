"""What stations have composed lately, kept so that it can return. In: beats; out: the beats that a beat recalls.

Remembers, per slot, the events and the mood of the last `MEMORY_BEATS` beats. One thread calls it. Kernels read it as
`Kept`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compile import kernel
from engine.score.asked import Asked
from engine.score.columns import Ints
from engine.score.recall import recall_lanes
from engine.score.vocabulary import MAX_EVENTS_PER_BEAT
from moods.intent import BEATS_PER_BAR, DEFAULT_NOVELTY, LANES, STYLES

MEMORY_BEATS = 256 * BEATS_PER_BAR
"""Longer than the rounds of moods/form.py, in which themes return."""
_LEAST_STRENGTH = 0.15
"""A lane that is to follow less closely than this follows nothing."""
_LOOSER, _CLOSER = 0.35, 0.5
"""By what share of its strength a lane follows less with all of novelty, and of what lacks to 1, more without any."""
_NOTHING = -1
_CHORDS, _LEAD = LANES.index("chords"), LANES.index("lead")
_MOOD = ("valence", "energy")
_STYLE = len(_MOOD)


class Kept(NamedTuple):
    """The beats of S slots, each in the place of its number modulo `MEMORY_BEATS`."""

    beat: Ints  # [S, MEMORY_BEATS] its number
    events: npt.NDArray[np.int16]  # [S, MEMORY_BEATS, MAX_EVENTS_PER_BEAT, 5]
    num_events: npt.NDArray[np.int16]  # [S, MEMORY_BEATS]
    mood: npt.NDArray[np.float32]  # [S, MEMORY_BEATS, valence, energy and styles]
    key: npt.NDArray[np.int8]  # [S, MEMORY_BEATS, 2] tonic, and index of the scale


@kernel
def num_events(kept: Kept, slot: int, beat: int) -> Any:
    """Of a beat; none where it is not remembered."""
    place = beat % MEMORY_BEATS
    return np.int64(kept.num_events[slot, place]) if kept.beat[slot, place] == beat else np.int64(0)


class Memory:
    """The beats of `num_slots` slots; zeroed pages cost nothing until they are used."""

    def __init__(self, num_slots: int) -> None:
        self.kept = Kept(
            np.full((num_slots, MEMORY_BEATS), _NOTHING, np.int64),
            np.zeros((num_slots, MEMORY_BEATS, MAX_EVENTS_PER_BEAT, 5), np.int16),
            np.zeros((num_slots, MEMORY_BEATS), np.int16),
            np.zeros((num_slots, MEMORY_BEATS, _STYLE + len(STYLES)), np.float32),
            np.zeros((num_slots, MEMORY_BEATS, 2), np.int8),
        )

    def clear(self, slot: int) -> None:
        self.kept.beat[slot] = _NOTHING

    def remember(self, slots: Ints, beats: Ints, events: Ints, num_events: Ints, asked: Asked) -> None:
        """Keep beats [N] of slots [N], of events [N, MAX_EVENTS_PER_BEAT, 5] the first num_events [N], in place of what
        they had before."""
        at = slots, beats % MEMORY_BEATS
        self.kept.beat[at], self.kept.events[at], self.kept.num_events[at] = beats, events, num_events
        self.kept.mood[at] = _mood(asked)
        self.kept.key[at] = np.stack([asked["tonic"], asked["scale"]], axis=1)

    def events(self, slots: Ints, beats: Ints) -> tuple[npt.NDArray[np.int16], Ints]:
        """The events of beats [N] of slots [N], one beat's after another's: events [M, 5] and how many each beat has,
        none where it is not remembered."""
        at = slots, beats % MEMORY_BEATS
        counts = np.where(self.kept.beat[at] == beats, self.kept.num_events[at], 0).astype(np.int64)
        return self.kept.events[at][np.arange(MAX_EVENTS_PER_BEAT) < counts[:, None]], counts

    def mood_of(self, slot: int, beats: Ints) -> npt.NDArray[np.float64]:
        """The mean mood of beats [N] of a slot, which are remembered: valence, energy and the styles' weights."""
        return self.kept.mood[slot, beats % MEMORY_BEATS].mean(axis=0, dtype=np.float64)

    def recall(
        self,
        slots: Ints,
        beats: Ints,
        asked: Asked,
        out: Ints,
        counts: Ints | None = None,
    ) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Put what beats [N] of slots [N] recall into out[slot, MAX_EVENTS_PER_BEAT, 5], among what is there already:
        the first counts [N].

        Returns how many events [N], and how closely each lane is to follow [N, lanes], 0 where nothing is recalled. The
        further the mood has moved since, the more loosely lanes follow: a tune survives a change of style, a groove
        does not.
        """
        bars = asked["recall_bars"].astype(np.int64)
        sources = beats[:, None] - bars * BEATS_PER_BAR
        strength = self._strength(slots[:, None], sources, asked)
        counts = np.zeros(len(slots), np.int64) if counts is None else counts
        recall_lanes(self.kept.events, self.kept.num_events, slots, np.where(strength > 0, sources, -1), out, counts)
        return counts, strength

    def _strength(self, slots: Ints, sources: Ints, asked: Asked) -> npt.NDArray[np.float64]:
        """How closely lanes follow the beats `sources` [N, lanes] of slots [N, 1]."""
        at = slots, sources % MEMORY_BEATS
        is_kept = (asked["recall_bars"] > 0) & (sources >= 0) & (self.kept.beat[at] == sources)
        is_kept[:, 1:] &= asked["layers"] > 0
        change = np.abs(_mood(asked)[:, None] - self.kept.mood[at])
        valence, energy = change[..., 0].astype(np.float64) / 2, change[..., 1].astype(np.float64)
        style = change[..., _STYLE:].sum(axis=-1).astype(np.float64) / 2
        follows = 1 - style - energy
        follows[:, _CHORDS] = 1 - 1.5 * valence[:, _CHORDS] - 0.5 * style[:, _CHORDS]
        follows[:, _LEAD] = 1 - 0.3 * style[:, _LEAD] - 0.3 * energy[:, _LEAD]
        strength = _renewed(asked["recall_strength"], asked["novelty"]) * np.maximum(0.0, follows)
        return np.where(is_kept & (strength >= _LEAST_STRENGTH), strength, 0.0)

    def snapshot(self, slot: int) -> dict[str, Any]:
        """What is kept of one slot."""
        kept, places = self.kept, np.flatnonzero(self.kept.beat[slot] != _NOTHING)
        most = int(kept.num_events[slot, places].max(initial=0))
        return {
            "beat": kept.beat[slot, places],
            "events": kept.events[slot, places, :most],
            "num_events": kept.num_events[slot, places],
            "mood": kept.mood[slot, places],
            "key": kept.key[slot, places],
        }

    def restore(self, slot: int, snapshot: dict[str, Any]) -> None:
        self.clear(slot)
        kept, places = self.kept, snapshot["beat"] % MEMORY_BEATS
        kept.beat[slot, places] = snapshot["beat"]
        kept.events[slot, places, : snapshot["events"].shape[1]] = snapshot["events"]
        kept.num_events[slot, places] = snapshot["num_events"]
        kept.mood[slot, places], kept.key[slot, places] = snapshot["mood"], snapshot["key"]


def _renewed(strength: npt.NDArray[np.float64], novelty: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Strengths [N, lanes] as the novelty [N] has them that is asked for: the more of it, the looser."""
    more = (novelty / DEFAULT_NOVELTY - 1)[:, None]
    return strength * (1 - _LOOSER * np.maximum(0.0, more)) + (1 - strength) * _CLOSER * np.maximum(0.0, -more)


def _mood(asked: Asked) -> npt.NDArray[np.float32]:
    return np.concatenate([*(asked[name][:, None] for name in _MOOD), asked["style"]], axis=1, dtype=np.float32)
