"""What the players of a piece share while they write it. In: notes one by one; out: a NOTE array. One piece each."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from engine.notes import NOTE, TICKS_PER_BEAT
from engine.score.vocabulary import MAX_EVENTS_PER_BEAT
from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR
from moods.harmony import Key
from moods.intent import BARS_PER_PHRASE, LAYERS

Option = TypeVar("Option")
Note = tuple[int, int, int, int, int]
"""The fields of NOTE in their order: tick, length, layer, pitch, velocity."""
_MIN_LENGTH, _DRUM_LENGTH = 2, 6
_MOST_TEXTURE_VOICES = 3
STRUM_TICKS = 5
"""The most that the voices of one chord may be apart."""
_PHRASE_SWELL = (-4.0, 0.0, 4.0, 1.0)
_SECTION_SWELL = {"intro": -4.0, "A": 0.0, "B": 4.0, "break": -5.0, "outro": -3.0}
_BUILD = 2.0
"""Velocity that each bar of the phrase before a new section is louder than the one before."""


def swell(bar: BarPlan) -> float:
    """How much louder than its energy says a bar is played: an arch a phrase, and a build into the next section."""
    place = bar.label.bar_in_section % BARS_PER_PHRASE
    is_closing = bar.section_bars - bar.label.bar_in_section <= BARS_PER_PHRASE and bar.label.beats_to_end is None
    build = _BUILD * place if is_closing else 0.0
    return _PHRASE_SWELL[place] + _SECTION_SWELL[bar.label.section] + build


@dataclass
class Score:
    """The notes so far, and what players remember from bar to bar."""

    rng: random.Random
    key: Key
    swell: Sequence[float] = ()  # of each bar: how much louder it is played
    notes: list[Note] = field(default_factory=list)
    voicing: tuple[int, ...] = ()
    bass_root: int = 38  # pitch of the last root of the bass
    bass_pitch: int = 38
    chord_until: int = 0  # tick of the piece until which the last chord of the harmony layer rings
    owed_clusters: float = 0.0  # that the tension has asked of the harmony layer and not got
    lead_pitch: int = 0  # 0: none yet
    counter_pitch: int = 60
    registers: dict[str, tuple[tuple[int, ...], int, int, int]] = field(default_factory=dict)
    choices: dict[tuple[Hashable, ...], object] = field(default_factory=dict)

    def add(self, bar: int, tick: int, length: float, layer: int, pitch: int, velocity: int) -> None:
        """Write a note at a tick of a bar, as loud as its velocity and the bar's swell say."""
        velocity = min(126, max(18, round(velocity + self.swell[bar])))
        self.notes.append((bar * TICKS_PER_BAR + tick, max(_MIN_LENGTH, int(length)), layer, pitch, velocity))

    def notes_of(self, bar: int, layer: int) -> list[tuple[int, int, int]]:
        """(tick in the bar, length, pitch) of what a layer begins in the bar written last, in time order."""
        found = []
        for tick, length, part, pitch, _ in reversed(self.notes):
            if tick < (bar - 1) * TICKS_PER_BAR:
                break
            if part == layer and tick // TICKS_PER_BAR == bar:
                found.append((tick - bar * TICKS_PER_BAR, length, pitch))
        return sorted(found)

    def begin_section(self, name: str, is_literal_return: bool) -> None:
        """Let the players begin a section from the registers in which they began its first visit, if it comes back."""
        if is_literal_return and name in self.registers:
            self.voicing, self.bass_pitch, self.lead_pitch, self.counter_pitch = self.registers[name]
        self.registers.setdefault(name, (self.voicing, self.bass_pitch, self.lead_pitch, self.counter_pitch))

    def choose(self, occasion: tuple[Hashable, ...], options: Sequence[Option]) -> Option:
        """Draw one of `options`; the same occasion (a section, say) gets the same one again."""
        if occasion not in self.choices:
            self.choices[occasion] = self.rng.choice(options)
        return self.choices[occasion]

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
        return self.choices[occasion]

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
        return _thin_crowded_beats(notes[notes["length"] >= _MIN_LENGTH])


def _thin_crowded_beats(notes: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Leave out the softest textures and chords of a beat that has more notes than the vocabulary can write."""
    beat = notes["tick"] // TICKS_PER_BEAT
    kept = np.ones(len(notes), bool)
    for crowded in np.flatnonzero(np.bincount(beat, minlength=1) >= MAX_EVENTS_PER_BEAT):
        inside = np.flatnonzero(beat == crowded)
        softest_first = np.lexsort((notes["velocity"][inside], np.isin(notes["layer"][inside], (DRUMS, BASS, LEAD))))
        kept[inside[softest_first[: len(inside) - MAX_EVENTS_PER_BEAT + 1]]] = False
    return notes[kept]


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
