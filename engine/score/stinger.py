"""Stingers as notes: a figure in the key and chord of the moment. In: figure, chord, seed; out: its notes.

Remembers nothing; any thread. A figure keeps rhythm and contour; the seed moves it along the chord, and its dynamics.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.notes import DRUM_PITCHES, NOTE, TICKS_PER_BEAT
from engine.score.rules import RANGES
from moods.harmony import CHORD_QUALITIES, SCALES, Key
from moods.intent import LAYERS
from moods.stinger import FigureNote, StingerFigure
from moods.tune import whole_scale

_DRUM_OF = {name: pitch for pitch, name in DRUM_PITCHES.items()}
_INVERSIONS = 2
"""A figure may begin on the chord's root or on the tone above it."""
_TOUCH = 6
"""How far velocities vary, to either side."""
_SOFTEST = 0.75
"""Share of its velocities that a figure keeps where the music is still."""


Chord = tuple[int, int]
"""Root, a pitch class, and index of the quality."""


def figure_seed(seed: int, begun: float) -> str:
    """What chooses the variant of the stinger that begins at beat `begun` in the music of `seed`."""
    return f"{seed}/{round(begun * TICKS_PER_BEAT)}"


def figure_notes(
    stinger: StingerFigure, key: Key, chord: Chord, energy: float, layers: Sequence[bool], seed: str
) -> npt.NDArray[np.void]:
    """[N] NOTE of a whole stinger, sorted by tick, ticks from its beginning.

    `energy` 0 … 1 is how loud; `layers` are those that may play; `seed` chooses the variant, the same in every chord.
    """
    rng = random.Random(f"stinger/{stinger.name}/{seed}")
    inversion, touch = rng.randrange(_INVERSIONS) * stinger.is_varied, rng.randint(-_TOUCH, _TOUCH)
    rows = []
    for layer in range(len(LAYERS)):
        mine = [note for note in stinger.notes if note.layer == layer]
        pitches = _pitches(tuple(mine), key, chord, inversion)
        for note, pitch in zip(mine, pitches, strict=True):
            weight = _SOFTEST + (1 - _SOFTEST) * energy
            velocity = min(127, round(weight * note.velocity) + touch + rng.randint(-2, 2))
            if layers[layer]:
                tick, length = round(note.onset * TICKS_PER_BEAT), max(1, round(note.length * TICKS_PER_BEAT))
                rows.append((tick, length, layer, pitch, velocity))
    return np.array(sorted(rows), NOTE)


def stinger_notes(
    stinger: StingerFigure, since: float, key: Key, chord: Chord, energy: float, layers: Sequence[bool], seed: str
) -> npt.NDArray[np.void]:
    """[N] NOTE of the beat that is `since` beats in, as in `figure_notes` but ticks from the beginning of that beat."""
    notes = figure_notes(stinger, key, chord, energy, layers, seed)
    notes["tick"] -= round(since * TICKS_PER_BEAT)
    return notes[(notes["tick"] >= 0) & (notes["tick"] < TICKS_PER_BEAT)]


@lru_cache(maxsize=256)
def _pitches(notes: tuple[FigureNote, ...], key: Key, chord: Chord, inversion: int) -> list[int]:
    """MIDI notes of one layer of a figure, all in the octave in which they lie best."""
    if not notes:
        return []
    if notes[0].layer == LAYERS.index("drums"):
        return [_DRUM_OF[note.pitch] for note in notes]
    root, quality = chord
    scale = _scale_from(key, root, SCALES[key.scale])
    chord_tones = sorted(tuple(CHORD_QUALITIES.values())[quality][:3])  # the triad: figures mean its octave by "c3"
    if len(chord_tones) < 3:  # a bare fifth is filled with the third that the scale has
        chord_tones.insert(1, min((step for step in scale if 0 < step < 7), key=lambda step: abs(2 * step - 7)))
    ladders = {"c": chord_tones, "s": scale, "d": _scale_from(key, root, SCALES[whole_scale(key.scale)])}
    start = chord_tones[inversion % len(chord_tones)]
    steps = [_step(ladders[note.pitch[0]], start, int(note.pitch[1:])) for note in notes]
    low, high = RANGES[notes[0].layer]
    octaves = range(root, 128, 12)
    base = min(octaves, key=lambda base: misfit(base + min(steps), base + max(steps), low, high))
    return [folded(base + step, low, high) for step in steps]


def _scale_from(key: Key, root: int, steps: Iterable[int]) -> list[int]:
    """Semitones of the scale of `steps` above the tonic, counted above `root`, which is counted in."""
    return sorted({0} | {(key.tonic + step - root) % 12 for step in steps})


def _step(ladder: list[int], start: int, count: int) -> int:
    """Semitones of the rung `count` steps from `start`, or from the rung below it."""
    index = sum(rung <= start for rung in ladder) - 1 + count
    return 12 * (index // len(ladder)) + ladder[index % len(ladder)]


def misfit(lowest: int, highest: int, low: int, high: int) -> tuple[int, int]:
    """How far a span lies outside a range, then how far from its middle; of two as far the higher one stands out."""
    return max(0, low - lowest) + max(0, highest - high), abs(lowest + highest - low - high - 1)


def folded(pitch: int, low: int, high: int) -> int:
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch
