"""Which earlier bar each bar of a piece returns to, lane by lane. In: encoded pieces; out: `Returns` and, drawn from
them, what the model is shown as recalled while it learns. Remembers nothing; offline.

A bar is compared with the bars 1, 2, 4 and 8 before it and with that earlier bar that it is nearest to. How near is the
F-measure of the two bars' sets of (onset to the nearest 1/32 note, value): 1 where one repeats the other. A bar of the
lead is compared with earlier ones moved by steps of the scale, too, and shown them as moved: a sequence is a return, as
it is where music is composed (engine.score.lines).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from engine.notes import TICKS_PER_BEAT
from engine.score.vocabulary import CHORD_EVENT, CONDITION_SLICES, FIRST_PITCH, NUM_VALUES, EncodedPiece
from moods.harmony import SCALE_NAMES, SCALES
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LANES

BARS_BACK = (1, 2, 4, 8)
NEAREST = len(BARS_BACK)
LEAD = LANES.index("lead")
MOVES = (0, 1, -1, 2, -2, 3, -3, 4, -4)
"""Steps of the scale by which a bar of the lead may have been moved."""
_FEWEST_MOVED = 3
"""Notes that a bar has at least for it to be heard as another one moved."""
_MOVED_COST = 0.05
"""How much nearer a bar must be moved than as it was."""
_CELL_TICKS = 3
_CELLS_PER_BAR = BEATS_PER_BAR * TICKS_PER_BEAT // _CELL_TICKS

# How much of the music is shown with what recalled.
_NOTHING_CHANCE, _NEAREST_CHANCE, _ALL_LANES_CHANCE, _LANE_CHANCE, _STRANGER_CHANCE = 0.2, 0.55, 0.45, 0.5, 0.25
_LEAD_CHANCE, _LEAD_NEAREST_CHANCE = 0.7, 0.75
"""The lead has a source of its own: where music is composed it is asked for most of its bars."""
_STRANGER = 0.1
"""A bar less near than this is a stranger, and mostly not shown."""


@dataclass(frozen=True)
class Returns:
    """Candidates of each bar and lane: bars 1, 2, 4, 8 back, and the nearest of all."""

    source: npt.NDArray[np.int16]  # [bars, lanes, 5] a bar of the piece, -1 where there is none
    strength: npt.NDArray[np.uint8]  # [bars, lanes, 5] percent
    steps: npt.NDArray[np.int8]  # [bars, 5] of the scale, by which the lead of the source is moved


def scale_of(conditions: npt.NDArray[np.float16]) -> str:
    """The scale of a piece by its conditions [beats, CONDITION]."""
    return SCALE_NAMES[int(conditions[0, CONDITION_SLICES["scale"]].argmax())]


@lru_cache(maxsize=128)
def moved_values(scale: str, steps: int) -> npt.NDArray[np.int64]:
    """The value [NUM_VALUES] that each value becomes when it is moved by `steps` of a scale. What lies between two
    steps counts as the lower one; what has no pitch stays."""
    size = len(SCALES[scale])
    values = np.arange(NUM_VALUES)
    octave, above = np.divmod(values - FIRST_PITCH, 12)
    step = octave * size + np.searchsorted(SCALES[scale], above, side="right") - 1 + steps
    moved = FIRST_PITCH + step // size * 12 + np.array(SCALES[scale])[step % size]
    is_moved = (values >= FIRST_PITCH) & (steps != 0)
    return np.where(is_moved, np.clip(moved, FIRST_PITCH, NUM_VALUES - 1), values)


def find_returns(piece: EncodedPiece) -> Returns:
    """Compare every bar of a piece with those before it."""
    num_bars = len(piece.conditions) // BEATS_PER_BAR
    source = np.full((num_bars, len(LANES), NEAREST + 1), -1, np.int16)
    strength = np.zeros(source.shape, np.uint8)
    steps = np.zeros((num_bars, NEAREST + 1), np.int8)
    scale = scale_of(piece.conditions)
    bar, beat = np.divmod(piece.beat_of_event, BEATS_PER_BAR)
    tick = beat * TICKS_PER_BEAT + piece.events[:, 1]
    cell = np.rint(tick / _CELL_TICKS).astype(np.int64) % _CELLS_PER_BAR
    value = piece.events[:, 2].astype(np.int64)
    for lane in range(len(LANES)):
        own = piece.events[:, 0] == CHORD_EVENT + lane
        at, what = cell[own] * NUM_VALUES, value[own]
        nears = [_strength(bar[own], at + what, at + what, num_bars)]
        if lane == LEAD:
            has_enough = np.bincount(bar[own], minlength=num_bars) >= _FEWEST_MOVED
            is_heard = has_enough[:, None] & has_enough
            nears += [
                _strength(bar[own], at + what, at + moved_values(scale, move)[what], num_bars) * is_heard
                for move in MOVES[1:]
            ]
        cost = _MOVED_COST * (np.arange(len(nears)) > 0)
        move = (np.array(nears) - cost[:, None, None]).argmax(axis=0)
        near = np.take_along_axis(np.array(nears), move[None], 0)[0]
        for candidate, back in enumerate(BARS_BACK):
            later = np.arange(back, num_bars)
            source[later, lane, candidate] = later - back
            strength[later, lane, candidate] = np.rint(100 * near[later, later - back])
        for later in range(1, num_bars):
            nearest = later - 1 - int(near[later, :later][::-1].argmax())
            source[later, lane, NEAREST] = nearest
            strength[later, lane, NEAREST] = round(100 * near[later, nearest])
        source[np.bincount(bar[own], minlength=num_bars) == 0, lane] = -1
        if lane == LEAD:
            moved = np.array(MOVES)[move]
            steps = np.take_along_axis(moved, np.maximum(source[:, lane], 0), axis=1).astype(np.int8)
    return Returns(source, strength, steps)


def _strength(
    bar: npt.NDArray[np.int32], what: npt.NDArray[np.int64], moved: npt.NDArray[np.int64], num_bars: int
) -> npt.NDArray[np.float64]:
    """F-measure of every bar and every other one, of which all is `moved`: [bars, bars]."""
    kinds, column = np.unique(np.concatenate([what, moved]), return_inverse=True)
    tables = []
    for part in (column[: len(what)], column[len(what) :]):
        marks = np.unique(np.stack([bar, part]), axis=1)
        ones = np.ones(marks.shape[1])
        tables.append(csr_array((ones, (marks[0], marks[1])), shape=(num_bars, max(1, len(kinds)))))
    sizes = [table.sum(axis=1) for table in tables]
    return 2 * (tables[0] @ tables[1].T).toarray() / np.maximum(sizes[0][:, None] + sizes[1], 1)


class Drawn(NamedTuple):
    """What the bars of a piece recall."""

    source: npt.NDArray[np.int64]  # [bars, lanes] a bar, -1 for none
    strength: npt.NDArray[np.float32]  # [bars, lanes] how closely, 0 … 1
    steps: npt.NDArray[np.int64]  # [bars] by which the lead of its source is moved


def draw_sources(returns: Returns, rng: np.random.Generator) -> Drawn:
    """For every bar and lane the bar it recalls.

    Drawn phrase by phrase, so that the model meets all that a form may ask of it: literal returns and loose ones,
    single lanes and all of them, near bars and far ones, and now and then a bar that has nothing to do with this one.
    """
    num_bars = len(returns.source)
    source = np.full((num_bars, len(LANES)), -1, np.int64)
    strength = np.zeros((num_bars, len(LANES)), np.float32)
    steps = np.zeros(num_bars, np.int64)
    for first in range(0, num_bars, BARS_PER_PHRASE):
        if rng.random() < _NOTHING_CHANCE:
            continue
        candidates = np.full(len(LANES), _draw_candidate(rng, _NEAREST_CHANCE))
        lanes = np.ones(len(LANES), bool)
        if rng.random() >= _ALL_LANES_CHANCE:
            lanes = rng.random(len(LANES)) < _LANE_CHANCE
            candidates[LEAD], lanes[LEAD] = _draw_candidate(rng, _LEAD_NEAREST_CHANCE), rng.random() < _LEAD_CHANCE
        bars, every = slice(first, first + BARS_PER_PHRASE), np.arange(len(LANES))
        near = returns.strength[bars, every, candidates] / np.float32(100)
        is_shown = lanes & ((near >= _STRANGER) | (rng.random(near.shape) < _STRANGER_CHANCE))
        source[bars] = np.where(is_shown, returns.source[bars, every, candidates], -1)
        strength[bars], steps[bars] = near, returns.steps[bars, candidates[LEAD]]
    return Drawn(source, strength, steps)


def _draw_candidate(rng: np.random.Generator, nearest_chance: float) -> int:
    return NEAREST if rng.random() < nearest_chance else int(rng.integers(len(BARS_BACK)))


def with_moved_leads(
    events: npt.NDArray[np.int64],
    beat_starts: npt.NDArray[np.int64],
    sources: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    scale: str,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The arguments of `recall_beats` with the lead of beats moved by `steps` [beats] of the scale: as beats more, that
    sources of the lead name instead."""
    parts, starts, sources = [events], beat_starts.tolist(), sources.copy()
    for beat in np.flatnonzero((sources[:, LEAD] >= 0) & (steps != 0)):
        source = sources[beat, LEAD]
        inside = events[beat_starts[source] : beat_starts[source + 1]]
        lead = inside[inside[:, 0] == CHORD_EVENT + LEAD]
        lead[:, 2] = moved_values(scale, int(steps[beat]))[lead[:, 2]]
        parts.append(lead)
        sources[beat, LEAD] = len(starts) - 1
        starts.append(starts[-1] + len(lead))
    return np.concatenate(parts), np.array(starts), sources
