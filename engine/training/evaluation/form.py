"""Form over minutes: what returns, what is new, what is repeated literally. In: pieces; out: numbers and matrices.

Bar-level self-similarity: a bar is the two unit vectors of its pitched onsets by pitch class above the tonic, weighted
by the root of their length in beats (12), and of its onsets by sixteenth, drums and pitched layers apart (32); the
similarity of two bars is the mean of both cosines, 0 … 1. A bar in which nothing begins is like nothing.
Everything is measured in windows of `WINDOW_BARS`, since what is found to return depends on how long one listens.
Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.training.figures import DRUMS, distances, excerpt, onset_sets, overlap
from engine.training.labels import BAR_TICKS
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

WINDOW_BARS = 64
THEME_BARS = 8
"""A bar this far back or farther may be a theme that returns; nearer ones are the pattern that goes on."""
_KERNEL_BARS = 8
MEMORY_SECONDS = 300.0
SPREAD_BARS, SPREAD_NOTES = 32, 6
"""Bars of a piece, and pitched notes of a bar, by which it is told how far pieces lie apart."""
SAME_LITERALLY = 0.9
"""Overlap of onsets from which a four-bar unit counts as one already heard."""


def windows(piece: Piece) -> Iterator[Piece]:
    """The piece in parts of `WINDOW_BARS`; a shorter rest is left out."""
    for first in range(0, len(piece.bars) - WINDOW_BARS + 1, WINDOW_BARS):
        yield excerpt(piece, first, first + WINDOW_BARS)


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def bar_similarity(piece: Piece) -> npt.NDArray[np.float64]:
    """Similarity of every pair of bars, 0 … 1: [bars, bars]."""
    notes = piece.notes
    bar, tick = np.divmod(notes["tick"], BAR_TICKS)
    is_drum = notes["layer"] == DRUMS
    chroma = np.zeros((len(piece.bars), 12))
    pitch_class = (notes["pitch"] - piece.key.tonic) % 12
    weight = np.sqrt(np.minimum(notes["length"], BAR_TICKS) / TICKS_PER_BEAT)
    np.add.at(chroma, (bar[~is_drum], pitch_class[~is_drum]), weight[~is_drum])
    rhythm = np.zeros((len(piece.bars), 2, 16))
    np.add.at(rhythm, (bar, is_drum.astype(int), tick * 16 // BAR_TICKS), 1)
    parts = (_unit(chroma), _unit(rhythm.reshape(len(rhythm), -1)))
    return sum(part @ part.T for part in parts) / len(parts)


def theme_return(piece: Piece) -> float:
    """Mean over windows and bars of the greatest similarity to a bar at least `THEME_BARS` back, 0 … 1."""
    found = []
    for window in windows(piece):
        similarity = bar_similarity(window)
        found += [similarity[bar, : bar - THEME_BARS + 1].max() for bar in range(THEME_BARS, WINDOW_BARS)]
    return float(np.mean(found)) if found else float("nan")


def novelty(piece: Piece) -> float:
    """Mean over windows of the greatest checkerboard novelty (Foote 2000), 0 … 1: how clearly a section begins.

    The kernel compares `_KERNEL_BARS` bars before a bar line with as many after it: mean similarity within both sides
    less that across.
    """
    found = []
    for window in windows(piece):
        similarity = bar_similarity(window)
        edges = range(_KERNEL_BARS, WINDOW_BARS - _KERNEL_BARS + 1)
        found.append(max(_contrast(similarity, edge) for edge in edges))
    return float(np.mean(found)) if found else float("nan")


def _contrast(similarity: npt.NDArray[np.float64], edge: int) -> float:
    before, after = slice(edge - _KERNEL_BARS, edge), slice(edge, edge + _KERNEL_BARS)
    within = (similarity[before, before].mean() + similarity[after, after].mean()) / 2
    return float(within - similarity[before, after].mean())


def new_material(piece: Piece) -> float:
    """Mean over windows and bars, from the second phrase on, of 1 - the greatest similarity to any earlier bar."""
    found = []
    for window in windows(piece):
        similarity = bar_similarity(window)
        found += [1 - similarity[bar, :bar].max() for bar in range(BARS_PER_PHRASE, WINDOW_BARS)]
    return float(np.mean(found)) if found else float("nan")


def already_heard(piece: Piece) -> float:
    """Four-bar units that overlap one of the last five minutes by `SAME_LITERALLY`, in % of all but the first."""
    units = onset_sets(piece, BARS_PER_PHRASE)
    unit_seconds = BARS_PER_PHRASE * BEATS_PER_BAR * 60 / piece.bpm
    reach = int(MEMORY_SECONDS / unit_seconds)
    heard = [
        any(overlap(unit, old) >= SAME_LITERALLY for old in units[max(0, index - reach) : index])
        for index, unit in enumerate(units)
    ][1:]
    return 100 * float(np.mean(heard)) if heard else float("nan")


# --- how far pieces lie apart ----------------------------------------------------------------------------------------


def thinned(piece: Piece) -> Piece:
    """`SPREAD_NOTES` pitched notes, by chance, of each of its first bars that has as many.

    Fewer notes lie farther apart by themselves.
    """
    rng, part = np.random.default_rng(0), excerpt(piece, 0, min(SPREAD_BARS, len(piece.bars)))
    pitched = part.notes[part.notes["layer"] != DRUMS]
    bars = pitched["tick"] // BAR_TICKS
    kept = [
        rng.choice(places, SPREAD_NOTES, replace=False)
        for bar in range(len(part.bars))
        if len(places := np.flatnonzero(bars == bar)) >= SPREAD_NOTES
    ]
    return replace(part, notes=pitched[np.sort(np.concatenate(kept)) if kept else slice(0)])


def spread(pieces: Sequence[Piece]) -> float:
    """Mean distance of every two pieces at equal numbers of notes, 0 … 1."""
    found = np.array(distances([thinned(piece) for piece in pieces]))
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def spread_of_sets(tracks: Sequence[Piece]) -> float:
    """Mean over the sets of game music of `spread` of their tracks."""
    sets: dict[str, list[Piece]] = {}
    for track in tracks:
        sets.setdefault(track.source.split("/")[0], []).append(track)
    return float(np.mean([spread(found) for found in sets.values()])) if sets else float("nan")
