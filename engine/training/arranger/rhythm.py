"""Rows of a step sequencer with levels. In: rows and an activity; out: ticks. Remembers nothing; any thread.

A row writes one bar (or several) as 16 steps each. A digit is a hit, a dot is none; spaces are for the eye. `0` sounds
almost always, `9` only in the busiest bars: each hit has a level, the activity from which on it sounds, so that more
activity always means at least the same hits. Among the `0` of a row the metrically weak ones drop out first.
"""

from __future__ import annotations

import random
from functools import lru_cache

from engine.notes import TICKS_PER_BEAT
from moods.intent import BEATS_PER_BAR

STEPS_PER_BAR = 16
TICKS_PER_BAR = BEATS_PER_BAR * TICKS_PER_BEAT

Grid = tuple[int, int, int, int]
"""Ticks of the four sixteenths of a beat."""
STRAIGHT: Grid = (0, 6, 12, 18)
SWUNG_SIXTEENTHS: Grid = (0, 8, 12, 20)
SWUNG_EIGHTHS: Grid = (0, 8, 16, 20)

_LEVEL_OF_DIGIT = (0.0, 0.16, 0.28, 0.39, 0.49, 0.58, 0.68, 0.77, 0.86, 0.94)
_LEVEL_OF_STEP = (0.0, 0.3, 0.22, 0.3, 0.16, 0.3, 0.22, 0.3, 0.08, 0.3, 0.22, 0.3, 0.16, 0.3, 0.22, 0.3)
_ACCENT_OF_STEP = (1.0, -0.7, -0.1, -0.6, 0.3, -0.7, -0.1, -0.6, 0.6, -0.7, -0.1, -0.6, 0.3, -0.7, -0.1, -0.5)


def step_tick(step: int, grid: Grid) -> int:
    """Tick in the bar of a sixteenth step 0 … 15."""
    return step // 4 * TICKS_PER_BEAT + grid[step % 4]


@lru_cache(maxsize=4096)
def parse_row(row: str) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Bars of (step, level); the strongest hit of a bar keeps its digit's level."""
    steps = row.replace(" ", "")
    assert len(steps) % STEPS_PER_BAR == 0, row
    bars = []
    for first in range(0, len(steps), STEPS_PER_BAR):
        bar = [(step, int(char)) for step, char in enumerate(steps[first : first + STEPS_PER_BAR]) if char != "."]
        strongest = min(bar, key=lambda hit: (hit[1], _LEVEL_OF_STEP[hit[0]]), default=None)
        bars.append(
            tuple(
                (step, _LEVEL_OF_DIGIT[digit] if digit or (step, digit) == strongest else _LEVEL_OF_STEP[step])
                for step, digit in bar
            )
        )
    return tuple(bars)


def hits(row: str, bar: int, activity: float) -> list[tuple[int, float]]:
    """(step, level) of what sounds in the `bar`-th bar of a row at `activity` 0 … 1."""
    bars = parse_row(row)
    return [(step, level) for step, level in bars[bar % len(bars)] if level <= activity]


def busyness(*rows: str) -> float:
    """Mean number of hits in a bar of the rows together, weighted by how early they come in."""
    return sum((1.2 - level) / len(parse_row(row)) for row in rows for bar in parse_row(row) for _, level in bar)


def accent(step: int) -> float:
    """Metrical weight of a sixteenth step, -1 … 1."""
    return _ACCENT_OF_STEP[step % STEPS_PER_BAR]


def velocity(rng: random.Random, energy: float, weight: float, spread: float = 4.0) -> int:
    """MIDI velocity of a note of metrical weight -1 … 1: about 42 in still bars, 104 in driving ones.

    It varies by up to `spread` from stroke to stroke; a machine's does not.
    """
    return round(min(126.0, max(18.0, 42.0 + 60.0 * energy + 13.0 * weight + rng.uniform(-spread, spread))))
