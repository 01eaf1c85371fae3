"""What the players of a piece share while they write it. In: notes one by one; out: a NOTE array. One piece each."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from engine.score.piece import NOTE
from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR
from moods.harmony import Key
from moods.intent import LAYERS

Option = TypeVar("Option")
_MIN_LENGTH, _DRUM_LENGTH = 2, 6
_MOST_TEXTURE_VOICES = 3
STRUM_TICKS = 5
"""The most that the voices of one chord may be apart."""


@dataclass
class Score:
    """The notes so far, and what players remember from bar to bar."""

    rng: random.Random
    key: Key
    notes: list[tuple[int, int, int, int, int]] = field(default_factory=list)  # fields of NOTE
    voicing: tuple[int, ...] = ()
    bass_root: int = 38  # pitch of the last root of the bass
    bass_pitch: int = 38
    chord_until: int = 0  # tick of the piece until which the last chord of the harmony layer rings
    owed_clusters: float = 0.0  # that the tension has asked of the harmony layer and not got
    lead_pitch: int = 0  # 0: none yet
    counter_pitch: int = 67
    choices: dict[tuple[Hashable, ...], object] = field(default_factory=dict)

    def add(self, bar: int, tick: int, length: float, layer: int, pitch: int, velocity: int) -> None:
        """Write a note at a tick of a bar."""
        self.notes.append((bar * TICKS_PER_BAR + tick, max(_MIN_LENGTH, int(length)), layer, pitch, velocity))

    def choose(self, occasion: tuple[Hashable, ...], options: Sequence[Option]) -> Option:
        """Draw one of `options`; the same occasion (a section, say) gets the same one again."""
        if occasion not in self.choices:
            self.choices[occasion] = self.rng.choice(options)
        return self.choices[occasion]  # type: ignore[return-value]

    def choose_busy(
        self, part: str, bar: BarPlan, options: Sequence[Option], activity: float, busyness: Callable[[Option], float]
    ) -> Option:
        """Draw a part's pattern for a section: rather a busy one at high `activity`, rather not another section's.

        A section that returns gets its pattern again, unless the activity is in another third of its range.
        """
        third = round(2 * activity)
        occasion = (part, third, bar.idioms[LAYERS.index(part)].name, bar.label.section)
        if occasion not in self.choices:
            taken = [choice for key, choice in self.choices.items() if key[:3] == occasion[:3]]
            ranked = sorted(options, key=busyness)
            weights = []
            for index, option in enumerate(ranked):
                distance = index / max(1, len(ranked) - 1) - activity
                weights.append((0.15 + math.exp(-((distance / 0.3) ** 2))) * (0.15 if option in taken else 1.0))
            self.choices[occasion] = self.rng.choices(ranked, weights)[0]
        return self.choices[occasion]  # type: ignore[return-value]

    def to_array(self, num_bars: int) -> npt.NDArray[np.void]:
        """Notes sorted by (tick, layer, pitch): one per layer, pitch and tick, none over the next of its voice."""
        notes = np.array(sorted(self.notes, key=lambda note: (note[0], note[2], note[3], -note[4])), NOTE)
        place = notes[["tick", "layer", "pitch"]]
        notes = notes[np.append(True, place[1:] != place[:-1])] if len(notes) else notes
        notes["length"][notes["layer"] == DRUMS] = _DRUM_LENGTH
        notes["length"] = np.minimum(notes["length"], num_bars * TICKS_PER_BAR - notes["tick"])
        for layer, spread_ticks in ((BASS, 1), (HARMONY, STRUM_TICKS + 1), (LEAD, 1)):
            _end_at_next_onset(notes, np.flatnonzero(notes["layer"] == layer), spread_ticks)
        _end_at_next_strike(notes)
        _end_oldest(notes, np.flatnonzero(notes["layer"] == TEXTURE), _MOST_TEXTURE_VOICES)
        return notes[notes["length"] >= _MIN_LENGTH]


def _end_at_next_onset(notes: npt.NDArray[np.void], where: npt.NDArray[np.intp], spread_ticks: int) -> None:
    """Shorten notes[where] so that none sounds beyond the next onset among them, `spread_ticks` later or more."""
    ticks = notes["tick"][where]
    onsets = np.unique(ticks)
    following = np.append(onsets, np.iinfo(np.int32).max)[np.searchsorted(onsets, ticks + spread_ticks)]
    notes["length"][where] = np.minimum(notes["length"][where], following - ticks)


def _end_oldest(notes: npt.NDArray[np.void], where: npt.NDArray[np.intp], most: int) -> None:
    """Where a note would be one too many to sound among notes[where], end the one that began first."""
    sounding: list[int] = []
    for index in where:
        tick = notes["tick"][index]
        sounding = [other for other in sounding if notes["tick"][other] + notes["length"][other] > tick]
        if len(sounding) == most:
            oldest = sounding.pop(0)
            notes["length"][oldest] = tick - notes["tick"][oldest]
        sounding.append(index)


def _end_at_next_strike(notes: npt.NDArray[np.void]) -> None:
    """Shorten every note that the same layer strikes again while it sounds."""
    order = np.lexsort((notes["tick"], notes["pitch"], notes["layer"]))
    voice = notes["layer"].astype(np.int32) * 128 + notes["pitch"]
    earlier, later = order[:-1], order[1:]
    is_same = voice[earlier] == voice[later]
    earlier, later = earlier[is_same], later[is_same]
    notes["length"][earlier] = np.minimum(notes["length"][earlier], notes["tick"][later] - notes["tick"][earlier])
