"""What of a tune comes back. In: pieces; out: shares of figures, rhythms and bars of the lead that were heard before.

A figure is four successive notes of the lead, the highest of each onset: three intervals and the three steps in time
between them, in sixteenths. It comes again where another has the same, with one note in common at most; one that stays
on a pitch counts for its rhythm alone, and a bar's rest ends a figure. Bars of lead are those in which the lead begins
a note, counted without the others; sixteen of them are a passage. All that is needed is notes: labels, keys and chords
of whoever wrote a piece are not believed. NaN says that there is nothing to measure. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.training.figures import LEAD
from engine.training.labels import BAR_TICKS

FIGURE_NOTES = 4
PASSAGE_BARS = 16
SEQUENCE_BARS, RETURN_BARS = 4, 4
FEWEST_FIGURES = 8
SAME_BAR = 2 / 3
"""Share of notes in common from which a bar of the tune counts as one that was heard."""
_SIXTEENTH = TICKS_PER_BEAT // 4
_LARGEST_STEP = 2
"""Semitones of a step; what is larger is a leap."""
_FEWEST_ONSETS = 2
"""Of a bar from which it says something."""

Ints = npt.NDArray[np.int64]
BarNotes = frozenset[tuple[int, int]]
"""(sixteenth, pitch) of what begins in a bar."""


class Lead(NamedTuple):
    """The lead as one line: the highest note of each onset, in time order, each [N]."""

    ticks: Ints
    ends: Ints
    """Where each is over, or the next begins."""
    pitches: Ints

    @property
    def bars(self) -> Ints:
        """The bar of each note, [N]."""
        return self.ticks // BAR_TICKS

    @property
    def bar_numbers(self) -> Ints:
        """The number of each note's bar among the bars of lead, [N]."""
        return np.unique(self.bars, return_inverse=True)[1]

    @property
    def steps(self) -> Ints:
        """Sixteenths from each note to the next, [N - 1]."""
        return np.rint(np.diff(self.ticks) / _SIXTEENTH).astype(np.int64)


def lead_of(piece: Piece) -> Lead:
    """The lead of a piece as a line."""
    notes = piece.notes[piece.notes["layer"] == LEAD]
    notes = notes[np.lexsort((-notes["pitch"], notes["tick"]))]
    ticks, first = np.unique(notes["tick"].astype(np.int64), return_index=True)
    ends = ticks + notes["length"][first]
    ends[:-1] = np.minimum(ends[:-1], ticks[1:])
    return Lead(ticks, ends, notes["pitch"][first].astype(np.int64))


# --- figures ---------------------------------------------------------------------------------------------------------


class _Figures(NamedTuple):
    """All figures of a lead that no rest breaks, in time order."""

    starts: Ints
    """The number of the first note of each, [F]."""
    bars: Ints
    """That note's number of its bar among those of lead, [F]."""
    intervals: Ints
    """Semitones, [F, 3]."""
    steps: Ints
    """Sixteenths, [F, 3]."""


def _figures(lead: Lead) -> _Figures:
    size = FIGURE_NOTES - 1
    if len(lead.ticks) <= size:
        none = np.zeros((0, size), np.int64)
        return _Figures(none[:, 0], none[:, 0], none, none)
    intervals = np.lib.stride_tricks.sliding_window_view(np.diff(lead.pitches), size)
    steps = np.lib.stride_tricks.sliding_window_view(lead.steps, size)
    kept = np.flatnonzero((steps * _SIXTEENTH < BAR_TICKS).all(axis=1))
    return _Figures(kept, lead.bar_numbers[kept], intervals[kept], steps[kept])


def _recurring(figures: _Figures, codes: Ints) -> npt.NDArray[np.bool_]:
    """Whether the code [F, K] of each figure is that of another one in the same passage, [F]."""
    _, code = np.unique(np.column_stack((figures.bars // PASSAGE_BARS, codes)), axis=0, return_inverse=True)
    code, starts = code.ravel(), figures.starts
    first, last = np.zeros((2, len(starts)), np.int64)  # of each code, of which there are no more than figures
    last[code], first[code[::-1]] = starts, starts[::-1]  # in time order: the last to be written stays
    return (starts - first[code] >= FIGURE_NOTES - 1) | (last[code] - starts >= FIGURE_NOTES - 1)


def _percent(hits: npt.NDArray[np.bool_]) -> float:
    return 100 * float(hits.mean()) if len(hits) >= FEWEST_FIGURES else float("nan")


def _moving(figures: _Figures) -> _Figures:
    """Without those that stay on one pitch: of these every tune has some, and they are nobody's."""
    kept = (figures.intervals != 0).any(axis=1)
    return _Figures(*(column[kept] for column in figures))


def _contour(intervals: Ints) -> Ints:
    """-2 a leap down, -1 a step down, 0 the same, 1 a step up, 2 a leap up."""
    return np.sign(intervals) * (1 + (np.abs(intervals) > _LARGEST_STEP))


def figures_again(piece: Piece) -> float:
    """Figures that come again in the same passage, by intervals in semitones and rhythm, in %."""
    figures = _moving(_figures(lead_of(piece)))
    return _percent(_recurring(figures, np.hstack((figures.intervals, figures.steps))))


def contours_again(piece: Piece) -> float:
    """The same by direction, step or leap, and rhythm."""
    figures = _moving(_figures(lead_of(piece)))
    return _percent(_recurring(figures, np.hstack((_contour(figures.intervals), figures.steps))))


def rhythms_again(piece: Piece) -> float:
    """The same by rhythm alone."""
    figures = _figures(lead_of(piece))
    return _percent(_recurring(figures, figures.steps))


def varied(piece: Piece) -> float:
    """Figures that come again in the same passage by direction and rhythm, but with other intervals only, in %."""
    figures = _moving(_figures(lead_of(piece)))
    alike = _recurring(figures, np.hstack((np.sign(figures.intervals), figures.steps)))
    return _percent(alike & ~_recurring(figures, np.hstack((figures.intervals, figures.steps))))


def sequences(piece: Piece) -> float:
    """Figures that another one within `SEQUENCE_BARS` has had higher or lower, in % of those that move.

    Same rhythm, same directions, each interval alike within a semitone, as steps of a scale are; it may be the exact
    transposition, and what has been there at the same pitch too is a repeat.
    """
    figures, lead = _moving(_figures(lead_of(piece))), lead_of(piece)
    if len(figures.starts) < FEWEST_FIGURES:
        return float("nan")
    ticks, pitches = lead.ticks[figures.starts], lead.pitches[figures.starts]
    hits = 0
    for index in range(len(ticks)):
        is_near = ticks[:index] > ticks[index] - SEQUENCE_BARS * BAR_TICKS
        is_apart = figures.starts[:index] <= figures.starts[index] - FIGURE_NOTES + 1
        before = np.flatnonzero(is_near & is_apart)
        before = before[(figures.steps[before] == figures.steps[index]).all(axis=1)]
        ours, theirs = figures.intervals[index], figures.intervals[before]
        alike = (np.abs(theirs - ours) <= 1) & (np.sign(theirs) == np.sign(ours))
        places = pitches[before[alike.all(axis=1)]]
        hits += len(places) > 0 and not (places == pitches[index]).any()
    return 100 * hits / len(ticks)


# --- bars ------------------------------------------------------------------------------------------------------------


def tune_bars(piece: Piece) -> dict[int, BarNotes]:
    """By bar, what the lead begins in it; bars without are absent."""
    lead = lead_of(piece)
    bars: dict[int, set[tuple[int, int]]] = {}
    places = np.rint(lead.ticks % BAR_TICKS / _SIXTEENTH).astype(int).tolist()
    for bar, place, pitch in zip(lead.bars.tolist(), places, lead.pitches.tolist(), strict=True):
        bars.setdefault(bar, set()).add((place, pitch))
    return {bar: frozenset(notes) for bar, notes in bars.items()}


def bar_rhythms(piece: Piece) -> list[frozenset[int]]:
    """The sixteenths on which the lead begins notes, of each bar in which it begins two or more."""
    rhythms = (frozenset(place for place, _ in notes) for notes in tune_bars(piece).values())
    return [rhythm for rhythm in rhythms if len(rhythm) >= _FEWEST_ONSETS]


def bar_rhythms_again(piece: Piece) -> float:
    """Bars of lead whose rhythm one of the last `PASSAGE_BARS` had, in % of all but the first."""
    rhythms = bar_rhythms(piece)
    heard = [rhythm in rhythms[max(0, index - PASSAGE_BARS) : index] for index, rhythm in enumerate(rhythms)][1:]
    return 100 * float(np.mean(heard)) if heard else float("nan")


def _share(a: BarNotes, b: BarNotes) -> float:
    """Notes in common of all that either has, 0 … 1."""
    return len(a & b) / len(a | b)


def tune_again(piece: Piece) -> float:
    """Bars of the tune of two notes and more that share `SAME_BAR` of these with one `RETURN_BARS` back or more, in %.

    Of those before which there is one. In whichever key: the earlier bar may lie higher or lower by some semitones.
    """
    bars = [(bar, notes) for bar, notes in tune_bars(piece).items() if len(notes) >= _FEWEST_ONSETS]
    found = []
    for index, (bar, notes) in enumerate(bars):
        before = [old for place, old in bars[:index] if place <= bar - RETURN_BARS]
        if before:
            found.append(any(_best_share(notes, old) >= SAME_BAR for old in before))
    return 100 * float(np.mean(found)) if found else float("nan")


def _best_share(notes: BarNotes, old: BarNotes) -> float:
    """`_share` at the transposition that brings most notes together."""
    shifts = Counter(pitch - other for place, pitch in notes for at, other in old if at == place)
    if not shifts:
        return 0.0
    common = shifts.most_common(1)[0][1]
    return common / (len(notes) + len(old) - common)


def longest_tune_run(piece: Piece) -> float:
    """Most bars in a row in which the lead has the same notes at the same places."""
    longest, run, before = 0, 0, (-2, frozenset[tuple[int, int]]())
    for bar, notes in tune_bars(piece).items():
        run = run + 1 if before == (bar - 1, notes) else 1
        longest, before = max(longest, run), (bar, notes)
    return float(longest)


# --- over minutes, and between pieces --------------------------------------------------------------------------------

THEME_BARS = 8
REPRISE_MINUTES = (4, 8)


def reprise(piece: Piece) -> float:
    """How like the first theme the most alike passage of minutes 4 … 8 is, 0 … 1; NaN: the piece is shorter.

    The theme is the `THEME_BARS` bars from the lead's first note on, of one bar line to another; the likeness the mean
    over its bars of lead of the notes in common, all in one key, whichever.
    """
    bars = tune_bars(piece)
    bars_a_minute = piece.bpm / 4
    first_bar, last_bar = (int(minute * bars_a_minute) for minute in REPRISE_MINUTES)
    if not bars or len(piece.bars) < last_bar:
        return float("nan")
    begin = min(bars)
    theme = {bar - begin: notes for bar, notes in bars.items() if bar < begin + THEME_BARS}
    return max(
        _likeness(theme, {bar - first: bars[bar] for bar in range(first, first + THEME_BARS) if bar in bars})
        for first in range(first_bar, last_bar - THEME_BARS + 1)
    )


def _likeness(theme: dict[int, BarNotes], passage: dict[int, BarNotes]) -> float:
    shifts = Counter(
        pitch - other
        for bar, notes in theme.items()
        for place, pitch in notes
        for at, other in passage.get(bar, ())
        if at == place
    )
    if not shifts:
        return 0.0
    shift = shifts.most_common(1)[0][0]
    moved = {bar: frozenset((place, pitch + shift) for place, pitch in notes) for bar, notes in passage.items()}
    return float(np.mean([_share(notes, moved.get(bar, frozenset())) for bar, notes in theme.items()]))


def rhythms_in_common(pieces: Sequence[Piece]) -> list[float]:
    """Of every two pieces, the share of bars of lead that have the same rhythms, in %: one rhythm for all is none."""
    counts = [Counter[Hashable](bar_rhythms(piece)) for piece in pieces]
    return [
        100 * sum(min(a[rhythm] / a.total(), b[rhythm] / b.total()) for rhythm in a)
        for a, b in combinations([count for count in counts if count], 2)
    ]
