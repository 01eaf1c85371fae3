"""What can be measured in a piece: figures of harmony, melody, form and obedience. In: pieces; out: numbers.

Every figure is a pure function of one `Piece`, whoever wrote it: a take of the model, a practice piece of the
arranger, a real score. NaN says that the piece has nothing to measure. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.score.rules import FREE_TENSION
from engine.training.labels import BAR_TICKS, raw_measures
from moods.form import layers_let_in
from moods.harmony import CHORD_QUALITIES
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LAYERS

DRUMS, BASS, HARMONY, TEXTURE, LEAD = range(len(LAYERS))
SAME_UNIT = 0.5
"""Overlap from which a four-bar unit counts as one that was heard before."""
_FEWEST_MELODY_NOTES = 8
_QUALITY_TONES = tuple(CHORD_QUALITIES.values())
_HAS_MAJOR_THIRD = np.array([4 in tones for tones in _QUALITY_TONES])


@dataclass(frozen=True)
class Interval:
    """A figure over `count` seeds with its bootstrap 95 % interval; all NaN where there are none."""

    mean: float
    low: float
    high: float
    count: int


def bootstrap(
    values: Sequence[Any], statistic: Callable[[npt.NDArray[Any]], float] = np.mean, resamples: int = 1000
) -> Interval:
    """`statistic` of the values that are known; percentile bootstrap (Efron & Tibshirani 1993, chapter 13).

    A value is a number or an array, one for each seed; what holds a NaN is unknown. `statistic` takes them stacked.
    """
    stacked = np.asarray(values, float)
    if len(stacked):
        stacked = stacked[~np.isnan(stacked.reshape(len(stacked), -1)).any(axis=1)]
    if not len(stacked):
        return Interval(np.nan, np.nan, np.nan, 0)
    draws = np.random.default_rng(0).integers(len(stacked), size=(resamples, len(stacked)))
    if statistic is np.mean and stacked.ndim == 1:
        found = stacked[draws].mean(axis=1)
    else:
        found = np.array([statistic(stacked[draw]) for draw in draws])
    low, high = np.nanpercentile(found, (2.5, 97.5)) if not np.isnan(found).all() else (np.nan, np.nan)
    return Interval(float(statistic(stacked)), float(low), float(high), len(stacked))


def excerpt(piece: Piece, first: int, stop: int) -> Piece:
    """Bars `first` … `stop` - 1 as a piece of their own; what rings into them from before is left out."""
    start, end = first * BAR_TICKS, stop * BAR_TICKS
    notes = piece.notes[(piece.notes["tick"] >= start) & (piece.notes["tick"] < end)].copy()
    notes["tick"] -= start
    sounding = max(0, int(np.searchsorted(piece.chords["tick"], start, side="right")) - 1)
    chords = piece.chords[sounding:]
    chords = chords[chords["tick"] < end].copy()
    chords["tick"] = np.maximum(chords["tick"] - start, 0)
    return replace(piece, notes=notes, chords=chords, bars=piece.bars[first:stop])


# --- shared views of a piece -----------------------------------------------------------------------------------------


def chords_of_beats(piece: Piece) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Root pitch class and quality sounding at each beat, each [beats]; root -1 where there is none yet."""
    beats = np.arange(len(piece.bars) * BEATS_PER_BAR) * TICKS_PER_BEAT
    if not len(piece.chords):
        return np.full(len(beats), -1), np.zeros(len(beats), np.int64)
    index = np.searchsorted(piece.chords["tick"], beats, side="right") - 1
    root = np.where(index >= 0, piece.chords["root"][np.maximum(index, 0)], -1)
    return root.astype(np.int64), piece.chords["quality"][np.maximum(index, 0)].astype(np.int64)


def onset_sets(piece: Piece, bars_each: int = 1) -> list[frozenset[tuple[int, int, int]]]:
    """What begins in each unit of `bars_each` bars: (tick in the unit, layer, pitch)."""
    unit_ticks = bars_each * BAR_TICKS
    units: list[set[tuple[int, int, int]]] = [set() for _ in range(len(piece.bars) // bars_each)]
    for tick, layer, pitch in zip(*(piece.notes[name].tolist() for name in ("tick", "layer", "pitch")), strict=True):
        if tick // unit_ticks < len(units):
            units[tick // unit_ticks].add((tick % unit_ticks, layer, pitch))
    return [frozenset(unit) for unit in units]


def overlap(a: frozenset[object], b: frozenset[object]) -> float:
    """Jaccard similarity, 0 … 1; 0 where both are empty."""
    return len(a & b) / len(a | b) if a or b else 0.0


def bar_histograms(piece: Piece) -> npt.NDArray[np.float64]:
    """Pitched onsets of each bar by pitch class above the tonic and sixteenth: [bars, 12 * 16]."""
    pitched = piece.notes[piece.notes["layer"] != DRUMS]
    histograms = np.zeros((len(piece.bars), 12, 16))
    bar, tick = np.divmod(pitched["tick"], BAR_TICKS)
    np.add.at(histograms, (bar, (pitched["pitch"] - piece.key.tonic) % 12, tick * 16 // BAR_TICKS), 1)
    return histograms.reshape(len(piece.bars), -1)


def melody(piece: Piece) -> npt.NDArray[np.int64]:
    """Pitches of the lead, the highest of each onset, in time order: [N]."""
    lead = piece.notes[piece.notes["layer"] == LEAD]
    order = np.lexsort((-lead["pitch"], lead["tick"]))
    _, first = np.unique(lead["tick"][order], return_index=True)
    return lead["pitch"][order][first].astype(np.int64)


def _percent(hits: npt.NDArray[np.bool_]) -> float:
    return 100 * float(hits.mean()) if len(hits) else float("nan")


# --- figures of one piece --------------------------------------------------------------------------------------------


def notes_in_scale(piece: Piece) -> float:
    """Pitched notes whose pitch class is in the key's scale, among bars of tension up to `FREE_TENSION`, in %."""
    pitched = piece.notes[piece.notes["layer"] != DRUMS]
    is_calm = np.array([bar.tension <= FREE_TENSION for bar in piece.bars])
    calm = pitched[is_calm[pitched["tick"] // BAR_TICKS]]
    return _percent(np.isin(calm["pitch"] % 12, list(piece.key.pitch_classes)))


def bass_on_root(piece: Piece) -> float:
    """Chords whose first bass note, within a beat of the change, is the root, in % of the chords that have one."""
    bass = piece.notes[piece.notes["layer"] == BASS]
    hits = []
    for chord in piece.chords:
        index = np.searchsorted(bass["tick"], chord["tick"])
        if index < len(bass) and bass["tick"][index] < chord["tick"] + TICKS_PER_BEAT:
            hits.append(bass["pitch"][index] % 12 == chord["root"])
    return _percent(np.array(hits, bool))


def harmony_in_chord(piece: Piece) -> float:
    """Notes of the harmony layer that belong to the chord of their beat, in %."""
    harmony = piece.notes[piece.notes["layer"] == HARMONY]
    roots, qualities = chords_of_beats(piece)
    beats = np.minimum(harmony["tick"] // TICKS_PER_BEAT, len(roots) - 1)
    hits = [
        (pitch - root) % 12 in _QUALITY_TONES[quality]
        for pitch, root, quality in zip(harmony["pitch"], roots[beats], qualities[beats], strict=True)
        if root >= 0
    ]
    return _percent(np.array(hits, bool))


def harmony_motion(piece: Piece) -> float:
    """Mean distance from a harmony onset's mean pitch to the next one's, in semitones."""
    harmony = piece.notes[piece.notes["layer"] == HARMONY]
    ticks, group = np.unique(harmony["tick"], return_inverse=True)
    if len(ticks) < 2:
        return float("nan")
    centres = np.bincount(group, weights=harmony["pitch"]) / np.bincount(group)
    return float(np.abs(np.diff(centres)).mean())


def chord_changes(piece: Piece) -> float:
    """Changes of root or quality from beat to beat, per bar."""
    roots, qualities = chords_of_beats(piece)
    if not len(piece.chords):
        return float("nan")
    changed = (np.diff(roots) != 0) | (np.diff(qualities) != 0)
    return float(changed.sum()) / len(piece.bars)


def tonic_share(piece: Piece) -> float:
    """Beats on a chord whose root is the tonic, in % of beats with a chord."""
    roots, _ = chords_of_beats(piece)
    return _percent(roots[roots >= 0] == piece.key.tonic)


def longest_run(piece: Piece) -> float:
    """Most bars in a row that begin the same notes at the same places; a bar in which nothing begins ends a run."""
    longest, run, before = 0, 0, None
    for bar in onset_sets(piece):
        run = 0 if not bar else run + 1 if bar == before else 1
        longest, before = max(longest, run), bar
    return float(longest)


def groove_steadiness(piece: Piece) -> float:
    """Mean `overlap` of the drums of each bar with those of the bar before, where both have some, in %."""
    drums = onset_sets(replace(piece, notes=piece.notes[piece.notes["layer"] == DRUMS]))
    shared = [overlap(a, b) for a, b in pairwise(drums) if a and b]
    return 100 * float(np.mean(shared)) if shared else float("nan")


def heard_before(piece: Piece) -> float:
    """Four-bar units that overlap an earlier one by at least `SAME_UNIT`, in % of all but the first."""
    units = onset_sets(piece, BARS_PER_PHRASE)
    known = [any(overlap(unit, old) >= SAME_UNIT for old in units[:i]) for i, unit in enumerate(units)][1:]
    return _percent(np.array(known, bool))


def melodic_novelty(piece: Piece) -> float:
    """Distinct runs of four successive melodic intervals (semitones) per 100 melody notes."""
    pitches = melody(piece)
    if len(pitches) < _FEWEST_MELODY_NOTES:
        return float("nan")
    intervals = np.diff(pitches)
    return 100 * len({tuple(intervals[i : i + 4]) for i in range(len(intervals) - 3)}) / len(pitches)


def lead_presence(piece: Piece) -> float:
    """Bars in which a lead note begins, in % of the bars of energy 0.5 and more where the form lets a lead play."""
    leading = set((piece.notes["tick"][piece.notes["layer"] == LEAD] // BAR_TICKS).tolist())
    asked = [
        index
        for index, bar in enumerate(piece.bars)
        if bar.energy >= 0.5 and layers_let_in(bar.section, bar.bar_in_section, True)[LEAD]
    ]
    return _percent(np.array([index in leading for index in asked], bool))


def empty_bars(piece: Piece) -> float:
    """Bars before an ending's last chord in which nothing sounds, in %."""
    sounding = np.zeros(len(piece.bars), bool)
    for tick, length in zip(piece.notes["tick"], piece.notes["length"], strict=True):
        sounding[tick // BAR_TICKS : (tick + length - 1) // BAR_TICKS + 1] = True
    is_music = np.array([bar.beats_to_end is None or bar.beats_to_end >= 0 for bar in piece.bars])
    return _percent(~sounding[is_music])


def ends_on_tonic(piece: Piece) -> float:
    """100 where the asked last chord is the tonic's, its lowest note the tonic and nothing begins after it, else 0.

    NaN: no ending asked.
    """
    for index, bar in enumerate(piece.bars):
        if bar.beats_to_end is not None and 0 <= bar.beats_to_end < BEATS_PER_BAR:
            beat = index * BEATS_PER_BAR + bar.beats_to_end
            tick, notes = beat * TICKS_PER_BEAT, piece.notes
            begins = (notes["tick"] >= tick) & (notes["tick"] < tick + TICKS_PER_BEAT) & (notes["layer"] != DRUMS)
            lowest = int(notes["pitch"][begins].min()) % 12 if begins.any() else -1
            is_last = not (notes["tick"] >= tick + TICKS_PER_BEAT).any()
            return 100.0 * (is_last and chords_of_beats(piece)[0][beat] == piece.key.tonic == lowest)
    return float("nan")


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    unit: str
    measure: Callable[[Piece], float]


FIGURES = (
    Figure("notes in scale, tension ≤ 0.5", "%", notes_in_scale),
    Figure("bass on the chord's root", "%", bass_on_root),
    Figure("harmony notes in the chord", "%", harmony_in_chord),
    Figure("harmony motion", "semitones", harmony_motion),
    Figure("chord changes", "a bar", chord_changes),
    Figure("time on the tonic chord", "%", tonic_share),
    Figure("longest run of identical bars", "bars", longest_run),
    Figure("drums like the bar before", "%", groove_steadiness),
    Figure("4-bar units heard before", "%", heard_before),
    Figure("distinct melodic 4-grams", "per 100 notes", melodic_novelty),
    Figure("bars with lead, energy ≥ 0.5", "%", lead_presence),
    Figure("empty bars", "%", empty_bars),
    Figure("endings on the tonic", "%", ends_on_tonic),
)


# --- figures of several pieces ---------------------------------------------------------------------------------------


def distance(a: Piece, b: Piece) -> float:
    """Mean of 1 - cosine of `bar_histograms` over the bars in which both begin notes, 0 same … 1 nothing shared."""
    bars = min(len(a.bars), len(b.bars))
    one, other = bar_histograms(a)[:bars], bar_histograms(b)[:bars]
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    both = norms > 0
    if not both.any():
        return float("nan")
    return float(1 - ((one * other).sum(axis=1)[both] / norms[both]).mean())


def distances(pieces: Sequence[Piece]) -> list[float]:
    """`distance` of every pair."""
    return [distance(a, b) for a, b in combinations(pieces, 2)]


def notes_per_beat(piece: Piece) -> float:
    """Notes of all layers that begin in a beat, on average."""
    return len(piece.notes) / (len(piece.bars) * BEATS_PER_BAR)


def major_share(piece: Piece) -> float:
    """Beats on a chord with a major third, in % of beats with a chord."""
    roots, qualities = chords_of_beats(piece)
    return _percent(_HAS_MAJOR_THIRD[qualities[roots >= 0]])


def dissonance(piece: Piece) -> float:
    """Mean raw tension of the bars, 0 … 1, by the formula of `engine.training.labels`: from notes and chords alone."""
    return float(raw_measures(piece.notes, piece.chords, piece.key, piece.bpm, len(piece.bars)).tension.mean())


@dataclass(frozen=True)
class Obedience:
    """One row of the table: does what is heard follow what was asked?"""

    name: str
    asked: str  # field of Bar
    measure: Callable[[Piece], float]


def obedience(figure: Obedience, pieces: Sequence[Piece]) -> float:
    """Spearman's rank correlation over `pieces`, -1 … 1, of the mean label against the measure; 0 where one is flat."""
    points = np.array([(np.mean([getattr(bar, figure.asked) for bar in p.bars]), figure.measure(p)) for p in pieces])
    points = points[~np.isnan(points).any(axis=1)]
    if len(points) < 3:
        return float("nan")
    if (np.ptp(points, axis=0) == 0).any():
        return 0.0
    return float(spearmanr(points[:, 0], points[:, 1]).statistic)
