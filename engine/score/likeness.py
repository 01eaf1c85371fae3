"""How alike the last minutes are to what a station played before, to what is usual in its mood, and to what was learnt.

In: finished beats; out: shares, 0 … 1. Remembers, per slot, what begins in each bar of the last hour as bits, in the
place of the bar's number, so that a bar that is composed anew takes its own place. One thread calls it. numba; releases
the GIL.

Two bars are alike as far as the same begins in them: the cosine of their sets of (pitch class above the tonic,
sixteenth) and (kind of drum, sixteenth). What is usual is a table of such sets' means and of chord changes, composed
beforehand for every style by the code that trains. What was learnt is a Bloom filter of the runs of `TUNE_NOTES` notes
in the leads that the model was taught by; a filter may take a run for one of its own by chance, never the other way.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from engine.compile import entry, kernel
from engine.notes import TICKS_PER_BEAT
from engine.score.columns import Bools, Column, Ints, make_columns
from engine.score.memory import MEMORY_BEATS, Kept, Memory, num_events
from engine.score.vocabulary import (
    CHORD_EVENT,
    DRUM_NOTES,
    FIRST_DRUM,
    FIRST_LAYER,
    FIRST_PITCH,
    NUM_CHORDS,
    NUM_QUALITIES,
)
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LAYERS

HOUR_S = 3600.0
LATELY_S = 240.0
TUNE_NOTES = 8
TUNE_TICKS = BARS_PER_PHRASE * BEATS_PER_BAR * TICKS_PER_BEAT
"""A tune that takes longer is none."""
TICKS_TOLD = 3
"""Rhythms are told apart by 1/8 of a beat."""
AVERAGES_NAME, LEARNT_NAME = "averages.safetensors", "learnt.safetensors"
ENERGIES, VALENCES = (0.3, 0.7), (-0.5, 0.5)
"""At which averages are known of each style; between them they are mixed."""
NUM_PROBES = 6
_SIXTEENTHS = 16
_DRUM_KINDS = 4
NUM_BITS = (12 + _DRUM_KINDS) * _SIXTEENTHS
NUM_CHANGES = 144
"""Of a chord's root above the tonic, from which to which."""
_WORDS = NUM_BITS // 64
_MOST_BARS = 1 << 12
"""An hour at 240 beats a minute has fewer."""
_MOST_BEATS = _MOST_BARS * BEATS_PER_BAR
_FEWEST_CODES = 3
"""A run of fewer different steps, as repeated notes or a trill, is nobody's."""
DRUM_KIND, LEAD_KIND = FIRST_LAYER + LAYERS.index("drums"), FIRST_LAYER + LAYERS.index("lead")
_UNKNOWN = -1.0


def _drum_kind(pitch: int) -> int:
    """Kick, snare and clap, what keeps time, all else."""
    return 0 if pitch == 36 else 1 if pitch in (37, 38, 39, 40) else 2 if pitch in (42, 44, 46, 51, 53, 54, 70) else 3


_KIND_OF_DRUM = np.array([_drum_kind(pitch) for pitch in DRUM_NOTES], np.int64)


class _Bars(NamedTuple):
    """The bars and beats of S slots, number n in the place n modulo how many there are."""

    number: Annotated[npt.NDArray[np.int32], Column(_MOST_BARS)]  # of the bar, from 1; 0: none
    second: Annotated[npt.NDArray[np.float32], Column(_MOST_BARS)]  # at which it is over
    bits: Annotated[npt.NDArray[np.uint64], Column(_MOST_BARS, _WORDS)]  # what begins in it
    chords: Annotated[npt.NDArray[np.int16], Column(_MOST_BARS, BEATS_PER_BAR)]  # of its beats, -1: none
    alike: Annotated[npt.NDArray[np.float32], Column(_MOST_BARS)]  # the bar of the hour before that is most so
    tunes: Annotated[npt.NDArray[np.uint8], Column(_MOST_BEATS)]  # runs of `TUNE_NOTES` that end in a beat,
    learnt: Annotated[npt.NDArray[np.uint8], Column(_MOST_BEATS)]  # and those that were learnt
    run: Annotated[npt.NDArray[np.uint8], Column(_MOST_BEATS)]  # learnt notes in a row, at the end of a beat,
    longest: Annotated[npt.NDArray[np.uint8], Column(_MOST_BEATS)]  # and the most within it


class Likeness:
    """The bars of `num_slots` slots; zeroed pages cost nothing until they are used."""

    def __init__(self, num_slots: int) -> None:
        self._bars = make_columns(_Bars, num_slots)

    def clear(self, slot: int) -> None:
        self._bars.number[slot] = 0

    def note(self, memory: Memory, slots: Ints, beats: Ints, is_last: Bools, seconds: npt.NDArray[np.float64]) -> None:
        """Note beats [N] of slots [N], which are already in the memory; is_last [N]: with which a bar is over, seconds
        [S] when they are."""
        _note(memory.kept, self._bars, learnt_filter(), slots, beats, is_last, seconds)

    def found(self, memory: Memory, slot: int, beat: int, second: float) -> tuple[float, float, float, int]:
        """Of a slot before `beat`, which begins at `second`: the likenesses and the longest run that was learnt, as in
        `engine.score.novelty.NoveltyFound`."""
        bars, last = self._bars, beat // BEATS_PER_BAR
        late = np.arange(max(0, last - _MOST_BARS // 16), last)
        places = late % _MOST_BARS
        is_late = (bars.number[slot, places] == late + 1) & (bars.second[slot, places] > second - LATELY_S)
        late, places = late[is_late], places[is_late]
        alike = bars.alike[slot, places]
        alike = alike[alike >= 0]
        to_mood = 0.0
        if len(places):
            usual = _usual(memory.mood_of(slot, late * BEATS_PER_BAR))
            heard = features(bars.bits[slot, places], bars.chords[slot, places])
            cosines = [_cosine(one, other) for one, other in zip(heard, usual, strict=True) if one.any()]
            to_mood = float(np.mean(cosines)) if cosines else 0.0
        of_beats = (places[:, None] * BEATS_PER_BAR + np.arange(BEATS_PER_BAR)).ravel()
        tunes, learnt = (int(column[slot, of_beats].sum()) for column in (bars.tunes, bars.learnt))
        number = bars.number[slot]
        is_hour = (number > 0) & (number <= last) & (bars.second[slot] > second - HOUR_S)
        longest = bars.longest[slot].reshape(_MOST_BARS, BEATS_PER_BAR)[is_hour].max(initial=0)
        to_hour = float(alike.mean()) if len(alike) else 0.0
        return to_hour, to_mood, learnt / tunes if tunes else 0.0, int(longest)

    def snapshot(self, slot: int) -> dict[str, Any]:
        """What is kept of one slot."""
        places = np.flatnonzero(self._bars.number[slot])
        return {"places": places, "bars": [column[slot, _rows(column, places)] for column in self._bars]}

    def restore(self, slot: int, snapshot: dict[str, Any]) -> None:
        self.clear(slot)
        columns: tuple[npt.NDArray[Any], ...] = self._bars
        for column, saved in zip(columns, snapshot["bars"], strict=True):
            column[slot, _rows(column, snapshot["places"])] = saved


def bars_of(snapshot: dict[str, Any]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int16]]:
    """Bits and chords of the bars in a slot's snapshot, in the order of their places."""
    bars = _Bars(*snapshot["bars"])
    return bars.bits, bars.chords


def _rows(column: npt.NDArray[Any], places: Ints) -> Ints:
    """Where bars lie in a column, or their beats."""
    if column.shape[1] == _MOST_BARS:
        return places
    return (places[:, None] * BEATS_PER_BAR + np.arange(BEATS_PER_BAR)).ravel()


# --- what is usual ---------------------------------------------------------------------------------------------------


def features(
    bits: npt.NDArray[np.uint64], chords: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of bars, bits [N, words] and chords [N, beats]: how often what is pitched begins where [192], and drums [64], and
    which root follows which [144]."""
    begins = np.unpackbits(bits.astype("<u8").view(np.uint8), bitorder="little").reshape(len(bits), NUM_BITS)
    mean = begins.mean(axis=0)
    roots = chords.ravel()[chords.ravel() >= 0] // NUM_QUALITIES
    is_change = np.diff(roots) != 0
    changes = np.bincount(roots[:-1][is_change] * 12 + roots[1:][is_change], minlength=NUM_CHANGES)
    pitched = 12 * _SIXTEENTHS
    return mean[:pitched], mean[pitched:], changes / max(1, changes.sum())


def _usual(mood: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """The mean of `features` over pieces of a mood, [valence, energy and styles]."""
    corners = np.multiply.outer(_shares(mood[1], ENERGIES), _shares(mood[0], VALENCES))
    weights = np.multiply.outer(mood[2:], corners)
    return [np.tensordot(weights, table, weights.ndim) for table in averages()]


def _shares(value: float, levels: tuple[float, float]) -> npt.NDArray[np.float64]:
    """How much each of two levels has of a value."""
    share = np.interp(value, levels, (0, 1))
    return np.array((1 - share, share))


@cache
def averages() -> list[npt.NDArray[np.float32]]:
    """The tables in the package, each [styles, energies, valences, features]."""
    tables = load(_packaged(AVERAGES_NAME))
    return [tables[name].astype(np.float32) for name in ("pitched", "drums", "changes")]


def _cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0


def _packaged(name: str) -> bytes:
    return (resources.files("engine") / "checkpoints" / name).read_bytes()


# --- what was learnt -------------------------------------------------------------------------------------------------


@cache
def learnt_filter() -> npt.NDArray[np.uint8]:
    """The Bloom filter in the package."""
    bits: npt.NDArray[np.uint8] = load(_packaged(LEARNT_NAME))["bits"]
    return bits


@kernel
def mixed(figure: Any, value: Any) -> Any:
    """32 bits of a figure and what follows in it (FNV-1a on whole numbers)."""
    return ((figure ^ (value & 0xFFFF)) * 16777619) & 0xFFFFFFFF


@kernel
def _probe(figure: Any, number: int, num_bits: int) -> Any:
    """Where a filter keeps a figure (Kirsch and Mitzenmacher 2006: two hashes make all)."""
    step = ((figure * np.int64(0x9E3779B1)) & 0xFFFFFFFF) | 1
    return (figure + number * step) % num_bits


@kernel
def _is_in(bits: npt.NDArray[np.uint8], figure: Any) -> bool:
    for number in range(NUM_PROBES):
        place = _probe(figure, number, 8 * len(bits))
        if not (bits[place >> 3] >> np.uint8(place & 7)) & 1:
            return False
    return True


@entry("engine.score")
def put_lines(bits: npt.NDArray[np.uint8], ticks: Ints, pitches: Ints) -> None:
    """Put all runs of `TUNE_NOTES` notes of a line into a filter: ticks [N], one note each, and pitches [N]."""
    for last in range(TUNE_NOTES - 1, len(ticks)):
        figure = _figure(ticks, pitches, last)
        if figure:
            for number in range(NUM_PROBES):
                place = _probe(figure, number, 8 * len(bits))
                bits[place >> 3] |= np.uint8(1) << np.uint8(place & 7)


@kernel
def _figure(ticks: Ints, pitches: Ints, last: int) -> Any:
    """The run of notes that ends with `last`: intervals and rhythm; 0: it takes too long, or has too few steps."""
    figure, codes = np.int64(2166136261), 0
    if ticks[last] - ticks[last - TUNE_NOTES + 1] >= TUNE_TICKS:
        return np.int64(0)
    for note in range(last, last - TUNE_NOTES + 1, -1):
        interval, step = pitches[note] - pitches[note - 1], (ticks[note] - ticks[note - 1]) // TICKS_TOLD
        figure = mixed(mixed(figure, interval), step)
        is_new = True
        for later in range(note + 1, last + 1):
            is_same = interval == pitches[later] - pitches[later - 1]
            is_new &= not (is_same and step == (ticks[later] - ticks[later - 1]) // TICKS_TOLD)
        codes += is_new
    return figure | 1 if codes >= _FEWEST_CODES else np.int64(0)


# --- bars ------------------------------------------------------------------------------------------------------------


@entry("engine.score")
def _note(
    kept: Kept, bars: _Bars, learnt: npt.NDArray[np.uint8], slots: Ints, beats: Ints, is_last: Bools,
    seconds: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    for i in range(len(slots)):
        _note_tunes(kept, bars, learnt, slots[i], beats[i])
        if is_last[i]:
            _note_bar(kept, bars, slots[i], beats[i], seconds[slots[i]])


@kernel
def _note_tunes(kept: Kept, bars: _Bars, learnt: npt.NDArray[np.uint8], slot: int, beat: int) -> None:
    """How many notes of the lead end a run that was learnt, and how long that has been going on."""
    place = beat % _MOST_BEATS
    run = np.int64(bars.run[slot, (beat - 1) % _MOST_BEATS]) if beat else np.int64(0)
    bars.tunes[slot, place], bars.learnt[slot, place], bars.longest[slot, place] = 0, 0, 0
    events = kept.events[slot, beat % MEMORY_BEATS]
    count = num_events(kept, slot, beat)
    for i in range(count):
        is_top = events[i, 0] == LEAD_KIND
        for other in range(i + 1, count):
            is_top &= not (events[other, 0] == LEAD_KIND and events[other, 1] == events[i, 1])
        if not is_top:
            continue
        figure = lead_figure(kept, slot, beat, i)
        is_learnt = figure != 0 and _is_in(learnt, figure)
        if not is_learnt:
            run = np.int64(0)
        elif run < 255:
            run = run + 1 if run else np.int64(TUNE_NOTES)
        bars.tunes[slot, place] += 1
        bars.learnt[slot, place] += is_learnt
        bars.longest[slot, place] = max(np.int64(bars.longest[slot, place]), run)
    bars.run[slot, place] = run


@kernel
def lead_figure(kept: Kept, slot: int, beat: int, last: int) -> Any:
    """The same as `_figure`, of the lead's notes up to event `last` of `beat`, of those that begin together the top."""
    figure, notes, codes = np.int64(2166136261), 0, 0
    later_pitch, later_tick, first_tick = np.int64(0), np.int64(0), np.int64(0)
    intervals, steps = np.int64(0), np.int64(0)  # of the steps so far, a byte each
    for back in range(TUNE_TICKS // TICKS_PER_BEAT + 1):
        if back > beat:
            break
        events = kept.events[slot, (beat - back) % MEMORY_BEATS]
        count = last + 1 if back == 0 else num_events(kept, slot, beat - back)
        for i in range(count - 1, -1, -1):
            pitch, tick = np.int64(events[i, 2]), np.int64(events[i, 1]) - back * TICKS_PER_BEAT
            if events[i, 0] != LEAD_KIND or (notes and tick == later_tick):
                continue
            if notes:
                interval, step = later_pitch - pitch, (later_tick - tick) // TICKS_TOLD
                figure = mixed(mixed(figure, interval), step)
                is_new = True
                for each in range(notes - 1):
                    is_same = (intervals >> (8 * each)) & 255 == interval & 255
                    is_new &= not (is_same and (steps >> (8 * each)) & 255 == step & 255)
                codes += is_new
                intervals, steps = (intervals << 8) | (interval & 255), (steps << 8) | (step & 255)
            else:
                first_tick = tick
            notes += 1
            later_pitch, later_tick = pitch, tick
            if first_tick - tick >= TUNE_TICKS:
                return np.int64(0)
            if notes == TUNE_NOTES:
                return figure | 1 if codes >= _FEWEST_CODES else np.int64(0)
    return np.int64(0)


@kernel
def _num_bits(word: Any) -> Any:
    """Bits that are set in 64 (Warren, Hacker's Delight, 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def _note_bar(kept: Kept, bars: _Bars, slot: int, last_beat: int, second: float) -> None:
    """Write down what begins in the bar that is over with `last_beat`, and how much of that the hour before has."""
    bar = last_beat // BEATS_PER_BAR
    place = bar % _MOST_BARS
    bits = bars.bits[slot, place]
    for word in range(_WORDS):
        bits[word] = np.uint64(0)
    chord = np.int64(bars.chords[slot, (bar - 1) % _MOST_BARS, BEATS_PER_BAR - 1]) if bar else np.int64(-1)
    for number in range(BEATS_PER_BAR):
        beat = bar * BEATS_PER_BAR + number
        events = kept.events[slot, beat % MEMORY_BEATS]
        for i in range(num_events(kept, slot, beat)):
            if events[i, 0] == CHORD_EVENT:
                chord = np.int64(events[i, 2])
            elif events[i, 0] >= FIRST_LAYER:
                sixteenth = number * 4 + np.int64(events[i, 1]) * 4 // TICKS_PER_BEAT
                row = np.int64(events[i, 2])
                is_drum = events[i, 0] == DRUM_KIND
                row = 12 + _KIND_OF_DRUM[row - FIRST_DRUM] if is_drum else (row - FIRST_PITCH) % 12
                bit = row * _SIXTEENTHS + sixteenth
                bits[bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)
        bars.chords[slot, place, number] = chord
    bars.number[slot, place], bars.second[slot, place] = bar + 1, second
    bars.alike[slot, place] = _most_alike(bars, slot, bar, second)


@kernel
def _most_alike(bars: _Bars, slot: int, bar: int, second: float) -> float:
    """To the bar of the hour that is most like it, but for the last minutes; unknown where one of them has nothing."""
    bits, own = bars.bits[slot, bar % _MOST_BARS], 0
    for word in range(_WORDS):
        own += _num_bits(bits[word])
    most = _UNKNOWN
    for earlier in range(bar - 1, max(-1, bar - _MOST_BARS), -1):
        place = earlier % _MOST_BARS
        if bars.number[slot, place] != earlier + 1 or bars.second[slot, place] <= second - HOUR_S:
            break
        if bars.second[slot, place] > second - LATELY_S or own == 0:
            continue
        shared, other = 0, 0
        for word in range(_WORDS):
            shared += _num_bits(bits[word] & bars.bits[slot, place, word])
            other += _num_bits(bars.bits[slot, place, word])
        if other:
            most = max(most, shared / np.sqrt(own * other))
    return most


assert NUM_CHORDS == 12 * NUM_QUALITIES
