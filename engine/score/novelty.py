"""Notices what was heard before: tunes, progressions and drum bars that an earlier piece of the last hour had.

In: finished beats and those before them; out: which tunes are old, and how much of the hour is. Remembers, per slot,
the figures of the last hour as numbers, in a ring in which a beat that is composed anew steps back. One thread calls
it. numba; releases the GIL.

A figure is what is the same in any key and at any tempo: intervals and rhythm of the lead's last `TUNE_NOTES` notes;
the chords, from their tonic, of four bars; the drum strokes of a bar. It is old where the same figure lies within the
last hour and before the running piece: tunes return within a piece, that is what makes them tunes.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compile import entry, kernel
from engine.score.asked import Asked
from engine.score.columns import Bools, Column, Ints, make_columns
from engine.score.likeness import DRUM_KIND, HOUR_S, LEAD_KIND, TICKS_TOLD, Likeness, lead_figure, mixed
from engine.score.memory import MEMORY_BEATS, Kept, Memory, num_events
from engine.score.vocabulary import CHORD_EVENT
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

KINDS = ("tune", "chords", "drums")
_TUNE, _CHORDS, _DRUMS = range(len(KINDS))
_MOST_FIGURES = 1 << 14
"""An hour at 140 beats a minute has fewer; beyond that the oldest are forgotten."""
_MOST_REMEMBERED = _MOST_FIGURES - 64
"""The places of the others may be those of figures that have been taken back."""
_LATELY = 32
_MOST_OLD = 0.25
"""Where no novelty is asked for, so many of the last `_LATELY` tunes may be old."""


class _Heard(NamedTuple):
    """The figures of S slots, number n in the place n modulo `_MOST_FIGURES`."""

    figure: Annotated[npt.NDArray[np.uint32], Column(_MOST_FIGURES)]
    kind: Annotated[npt.NDArray[np.uint8], Column(_MOST_FIGURES)]  # an index into KINDS
    beat: Annotated[npt.NDArray[np.int32], Column(_MOST_FIGURES)]  # with which it was over
    second: Annotated[npt.NDArray[np.float32], Column(_MOST_FIGURES)]
    is_old: Annotated[Bools, Column(_MOST_FIGURES)]


class NoveltyFound(NamedTuple):
    """Of the last hour; likenesses are of the last minutes, 0 … 1."""

    repeated_share_last_hour: float  # of its tunes, those that are old; where there are none, of its chords
    repeated_chords: float
    repeated_drums: float
    figures_last_hour: int
    likeness_to_hour: float  # of each bar to the most alike one of the hour before them
    likeness_to_mood: float  # to what is usual in the mood, of any piece
    likeness_to_learnt: float  # share of runs of `TUNE_NOTES` lead notes that were learnt
    longest_learnt: int  # notes of the lead in a row, of the last hour; 0: fewer than `TUNE_NOTES`


class Novelty:
    """The figures of `num_slots` slots; zeroed pages cost nothing until they are used."""

    def __init__(self, num_slots: int) -> None:
        self._heard, self._likeness = make_columns(_Heard, num_slots), Likeness(num_slots)

    def clear(self, slot: int) -> None:
        self._likeness.clear(slot)

    def note(
        self, memory: Memory, slots: Ints, beats: Ints, asked: Asked, num_figures: Ints,
        seconds: npt.NDArray[np.float64],
    ) -> Bools:  # fmt: skip
        """Note the figures that are over with beats [N] of slots [N], which are already in the memory.

        num_figures [S] counts them and grows, seconds [S] is when the beats are over. Returns [N]: is the tune an old
        one, and are there more of these of late than the novelty allows that is asked for?
        """
        is_old = np.zeros(len(slots), np.bool_)
        piece = beats - asked["piece_beats"].astype(np.int64)
        is_last = asked["beat"] == BEATS_PER_BAR - 1
        _note(memory.kept, self._heard, slots, beats, piece, is_last, asked["novelty"], num_figures, seconds, is_old)
        self._likeness.note(memory, slots, beats, is_last, seconds)
        return is_old

    def found(self, memory: Memory, slot: int, beat: int, num_figures: int, second: float) -> NoveltyFound:
        """What there is of a slot before `beat`, which begins at `second`; so many figures have been noted of it."""
        places = _places(num_figures)
        places = places[self._heard.second[slot, places] > second - HOUR_S]
        kind, is_old = self._heard.kind[slot, places], self._heard.is_old[slot, places]
        shares = [float(is_old[kind == each].mean()) if (kind == each).any() else 0.0 for each in range(len(KINDS))]
        share = shares[_TUNE if (kind == _TUNE).any() else _CHORDS]
        to_hour, to_mood, to_learnt, longest_learnt = self._likeness.found(memory, slot, beat, second)
        return NoveltyFound(
            repeated_share_last_hour=round(share, 4),
            repeated_chords=round(shares[_CHORDS], 4),
            repeated_drums=round(shares[_DRUMS], 4),
            figures_last_hour=len(places),
            likeness_to_hour=round(to_hour, 4),
            likeness_to_mood=round(to_mood, 4),
            likeness_to_learnt=round(to_learnt, 4),
            longest_learnt=longest_learnt,
        )

    def snapshot(self, slot: int, num_figures: int) -> dict[str, Any]:
        """What is kept of one slot."""
        places = _places(num_figures)
        heard = [column[slot, places] for column in self._heard]
        return {"places": places, "heard": heard, "likeness": self._likeness.snapshot(slot)}

    def restore(self, slot: int, snapshot: dict[str, Any]) -> None:
        columns: tuple[npt.NDArray[Any], ...] = self._heard
        for column, saved in zip(columns, snapshot["heard"], strict=True):
            column[slot, snapshot["places"]] = saved
        self._likeness.restore(slot, snapshot["likeness"])


@kernel
def _oldest(num_figures: int) -> Any:
    """The first figure that is remembered where so many have been noted."""
    return max(np.int64(0), num_figures - _MOST_REMEMBERED)


def _places(num_figures: int) -> Ints:
    """Where the figures lie that are remembered, the oldest first."""
    return np.arange(max(0, num_figures - _MOST_REMEMBERED), num_figures) % _MOST_FIGURES


@entry("engine.score")
def _note(
    kept: Kept, heard: _Heard, slots: Ints, beats: Ints, pieces: Ints, is_last: Bools,
    novelty: npt.NDArray[np.float64], num_figures: Ints, seconds: npt.NDArray[np.float64], is_old: Bools,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        slot, beat = slots[i], beats[i]
        figure = _tune(kept, slot, beat)
        if figure:
            is_again = _add(heard, slot, figure, _TUNE, beat, pieces[i], num_figures, seconds[slot])
            allowed = (1.0 - novelty[i]) * _MOST_OLD * _LATELY
            is_old[i] = is_again and novelty[i] > 0 and _num_old(heard, slot, num_figures[slot]) > allowed
        if is_last[i]:
            figure = _progression(kept, slot, beat)
            if figure:
                _add(heard, slot, figure, _CHORDS, beat, pieces[i], num_figures, seconds[slot])
            figure = _drum_bar(kept, slot, beat)
            if figure:
                _add(heard, slot, figure, _DRUMS, beat, pieces[i], num_figures, seconds[slot])


@kernel
def _add(
    heard: _Heard, slot: int, figure: int, kind: int, beat: int, piece: int, num_figures: Ints, second: float
) -> bool:
    """Remember a figure; is it old?"""
    num, is_old = num_figures[slot], False
    for number in range(num - 1, _oldest(num) - 1, -1):
        place = number % _MOST_FIGURES
        if heard.second[slot, place] <= second - HOUR_S:
            break
        if heard.figure[slot, place] == figure and heard.kind[slot, place] == kind and heard.beat[slot, place] < piece:
            is_old = True
            break
    place = num % _MOST_FIGURES
    heard.figure[slot, place], heard.kind[slot, place], heard.beat[slot, place] = figure, kind, beat
    heard.second[slot, place], heard.is_old[slot, place] = second, is_old
    num_figures[slot] = num + 1
    return is_old


@kernel
def _num_old(heard: _Heard, slot: int, num_figures: int) -> int:
    """How many of the last `_LATELY` tunes are old."""
    count, tunes = 0, 0
    for number in range(num_figures - 1, _oldest(num_figures) - 1, -1):
        place = number % _MOST_FIGURES
        if heard.kind[slot, place] == _TUNE:
            tunes += 1
            count += heard.is_old[slot, place]
            if tunes == _LATELY:
                break
    return count


@kernel
def _tune(kept: Kept, slot: int, beat: int) -> Any:
    """The lead's last notes, where the last of them begins in `beat`; 0: there are too few."""
    events = kept.events[slot, beat % MEMORY_BEATS]
    for last in range(num_events(kept, slot, beat) - 1, -1, -1):
        if events[last, 0] == LEAD_KIND:
            return lead_figure(kept, slot, beat, last)
    return np.int64(0)


@kernel
def _progression(kept: Kept, slot: int, beat: int) -> Any:
    """The chords of the four bars that are over with `beat`; 0: they are not all known."""
    figure, chord, first = np.int64(2166136261), np.int64(-1), beat + 1 - BARS_PER_PHRASE * BEATS_PER_BAR
    if first < 0:
        return np.int64(0)
    for each in range(first, beat + 1):
        events = kept.events[slot, each % MEMORY_BEATS]
        for i in range(num_events(kept, slot, each)):
            if events[i, 0] == CHORD_EVENT:
                chord = np.int64(events[i, 2])
        if chord < 0:
            return np.int64(0)
        figure = mixed(figure, chord)
    return figure | 1


@kernel
def _drum_bar(kept: Kept, slot: int, beat: int) -> Any:
    """The strokes of the bar that is over with `beat`; 0: there are none."""
    figure, strokes = np.int64(2166136261), 0
    for back in range(BEATS_PER_BAR - 1, -1, -1):
        events = kept.events[slot, (beat - back) % MEMORY_BEATS]
        for i in range(num_events(kept, slot, beat - back)):
            if events[i, 0] == DRUM_KIND:
                strokes += 1
                figure = mixed(mixed(figure, events[i, 2]), (back * 24 + events[i, 1]) // TICKS_TOLD)
    return figure | 1 if strokes else np.int64(0)
