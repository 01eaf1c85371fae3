"""The takes that are judged. In: a style and seeds; out: the notes that a station plays. Remembers nothing.

Moods lie where they are asked for: neither still nor torn, all over the rest. A take of a seed is the same however
many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats.qmc import Halton

from engine.audio import SAMPLE_RATE
from engine.score_generator import beats_to_sounds
from engine.training.evaluation.takes import MAX_SLOTS, make_composer
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller
from moods.intent import STYLES
from moods.mood import Mood, style_weights

_RANGES = {"valence": (-0.7, 0.7), "energy": (0.25, 0.9), "tension": (0.0, 0.5)}
_FIRST_SEED, _SEEDS_A_STYLE = 500_000, 1000


@dataclass(frozen=True)
class Take:
    """Of one style under one seed, from 0."""

    style: str
    seed: int
    notes: npt.NDArray[np.void]  # [N] SOUND, in order


def controller(style: str, seed: int) -> Controller:
    """The course of a take: one mood, endless."""
    number = STYLES.index(style)
    place = Halton(len(_RANGES), rng=number).random(seed + 1)[-1].tolist()
    levels = {name: low + (high - low) * p for (name, (low, high)), p in zip(_RANGES.items(), place, strict=True)}
    return Controller(
        Mood(style, style, style=style_weights(style), **levels), _FIRST_SEED + _SEEDS_A_STYLE * number + seed
    )


def compose(style: str, seeds: Sequence[int], seconds: float) -> list[Take]:
    """The notes of the first `seconds`, composed by the shipped model."""
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    composer = make_composer(sizes, tensors)
    found = []
    for first in range(0, len(seeds), MAX_SLOTS):
        batch = seeds[first : first + MAX_SLOTS]
        courses = [controller(style, seed) for seed in batch]
        notes: list[list[npt.NDArray[np.void]]] = [[] for _ in batch]
        for slot, course in enumerate(courses):
            composer.open(slot, course)
        beat = 0
        while len(slots := [s for s, c in enumerate(courses) if c.frame_of_beat(beat) < seconds * SAMPLE_RATE]):
            composer.prepare(slots)
            begins, ends = (np.array([courses[slot].frame_of_beat(b) for slot in slots]) for b in (beat, beat + 1))
            of, sounds = beats_to_sounds(composer.take_all(np.array(slots)), begins, ends)
            for row, slot in enumerate(slots):
                notes[slot].append(sounds[of == row])
            beat += 1
        for slot, seed in enumerate(batch):
            composer.close(slot)
            found.append(Take(style, seed, np.sort(np.concatenate(notes[slot]), order="frame", kind="stable")))
    return found
