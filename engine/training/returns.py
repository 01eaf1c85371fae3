"""Which earlier bar each bar of a piece returns to, lane by lane. In: encoded pieces; out: `Returns` and, drawn from
them, what the model is shown as recalled while it learns. Remembers nothing; offline.

A bar is compared with the bars 1, 2, 4 and 8 before it and with that earlier bar that it is nearest to. How near is the
F-measure of the two bars' sets of (onset to the nearest 1/32 note, value): 1 where one repeats the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from engine.notes import TICKS_PER_BEAT
from engine.score.vocabulary import CHORD_EVENT, NUM_VALUES, EncodedPiece
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LANES

BARS_BACK = (1, 2, 4, 8)
NEAREST = len(BARS_BACK)
_CELL_TICKS = 3
_CELLS_PER_BAR = BEATS_PER_BAR * TICKS_PER_BEAT // _CELL_TICKS

# How much of the music is shown with what recalled.
_NOTHING_CHANCE, _NEAREST_CHANCE, _ALL_LANES_CHANCE, _LANE_CHANCE, _STRANGER_CHANCE = 0.2, 0.55, 0.45, 0.5, 0.25
_STRANGER = 0.1
"""A bar less near than this is a stranger, and mostly not shown."""


@dataclass(frozen=True)
class Returns:
    """Candidates of each bar and lane: bars 1, 2, 4, 8 back, and the nearest of all."""

    source: npt.NDArray[np.int16]  # [bars, lanes, 5] a bar of the piece, -1 where there is none
    strength: npt.NDArray[np.uint8]  # [bars, lanes, 5] percent


def find_returns(piece: EncodedPiece) -> Returns:
    """Compare every bar of a piece with those before it."""
    num_bars = len(piece.conditions) // BEATS_PER_BAR
    source = np.full((num_bars, len(LANES), NEAREST + 1), -1, np.int16)
    strength = np.zeros(source.shape, np.uint8)
    bar, beat = np.divmod(piece.beat_of_event, BEATS_PER_BAR)
    tick = beat * TICKS_PER_BEAT + piece.events[:, 1]
    cell = np.rint(tick / _CELL_TICKS).astype(np.int64) % _CELLS_PER_BAR
    what = cell * NUM_VALUES + piece.events[:, 2]
    for lane in range(len(LANES)):
        own = piece.events[:, 0] == CHORD_EVENT + lane
        near = _strength(bar[own], what[own], num_bars)
        for candidate, back in enumerate(BARS_BACK):
            later = np.arange(back, num_bars)
            source[later, lane, candidate] = later - back
            strength[later, lane, candidate] = np.rint(100 * near[later, later - back])
        for later in range(1, num_bars):
            nearest = later - 1 - int(near[later, :later][::-1].argmax())
            source[later, lane, NEAREST] = nearest
            strength[later, lane, NEAREST] = round(100 * near[later, nearest])
        source[np.bincount(bar[own], minlength=num_bars) == 0, lane] = -1
    return Returns(source, strength)


def _strength(bar: npt.NDArray[np.int32], what: npt.NDArray[np.int64], num_bars: int) -> npt.NDArray[np.float64]:
    """F-measure of every two bars: [bars, bars]."""
    kinds, column = np.unique(what, return_inverse=True)
    marks = np.unique(np.stack([bar, column]), axis=1)
    table = csr_array((np.ones(marks.shape[1]), (marks[0], marks[1])), shape=(num_bars, max(1, len(kinds))))
    shared = (table @ table.T).toarray()
    sizes = shared.diagonal()
    return 2 * shared / np.maximum(sizes[:, None] + sizes[None, :], 1)


def draw_sources(returns: Returns, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For every bar and lane the bar it recalls (-1: none) and how closely, 0 … 1: both [bars, lanes].

    Drawn phrase by phrase, so that the model meets all that a form may ask of it: literal returns and loose ones,
    single lanes and all of them, near bars and far ones, and now and then a bar that has nothing to do with this one.
    """
    num_bars = len(returns.source)
    source = np.full((num_bars, len(LANES)), -1, np.int64)
    strength = np.zeros((num_bars, len(LANES)), np.float32)
    for first in range(0, num_bars, BARS_PER_PHRASE):
        if rng.random() < _NOTHING_CHANCE:
            continue
        candidate = NEAREST if rng.random() < _NEAREST_CHANCE else int(rng.integers(len(BARS_BACK)))
        lanes = np.ones(len(LANES), bool)
        if rng.random() >= _ALL_LANES_CHANCE:
            lanes = rng.random(len(LANES)) < _LANE_CHANCE
        bars = slice(first, first + BARS_PER_PHRASE)
        near = returns.strength[bars, :, candidate] / np.float32(100)
        is_shown = lanes & ((near >= _STRANGER) | (rng.random(near.shape) < _STRANGER_CHANCE))
        source[bars] = np.where(is_shown, returns.source[bars, :, candidate], -1)
        strength[bars] = near
    return source, strength
