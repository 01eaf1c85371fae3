"""Does what is heard follow what was asked? In: sweeps, measured; out: rank correlations and dead zones.

A sweep is [seeds, levels]: the measure of each seed at every level of one control, all else equal. Remembers nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from engine.score.piece import Piece
from engine.training.evaluation.takes import seconds_of
from engine.training.figures import dissonance, major_share, notes_per_beat

Sweep = npt.NDArray[np.float64]
SMALLEST_STEP = 0.25
"""Of an even step, from which a step counts as a change."""


def notes_a_second(piece: Piece) -> float:
    """Notes of all layers that begin in a second, on average."""
    return len(piece.notes) / seconds_of(piece)


def surprise(piece: Piece) -> float:
    """Bytes a note of the compressed events (zlib): what repeats or is likely costs little."""
    notes = piece.notes
    if not len(notes):
        return float("nan")
    columns = (notes["tick"] % 96, notes["layer"], notes["pitch"], np.minimum(notes["length"], 255))
    return len(zlib.compress(np.stack(columns, axis=1).astype(np.uint8).tobytes(), 9)) / len(notes)


@dataclass(frozen=True)
class Measure:
    """What of a piece ought to follow a control."""

    control: str
    name: str
    of: Callable[[Piece], float]


MEASURES = (
    Measure("energy", "notes a second", notes_a_second),
    Measure("valence", "share of major chords", major_share),
    Measure("tension", "dissonance", dissonance),
    Measure("density", "notes a beat", notes_per_beat),
    Measure("bpm", "notes a second", notes_a_second),
    Measure("temperature", "bytes a note", surprise),
)


def rank_correlation(sweep: Sweep) -> float:
    """Spearman's rank correlation of level and the measure's mean over seeds, -1 … 1; 0 where it is flat."""
    means = sweep.mean(axis=0)
    return float(spearmanr(np.arange(len(means)), means).statistic) if np.ptp(means) > 0 else 0.0


def pooled_correlation(sweep: Sweep) -> float:
    """Spearman's rank correlation of level and measure over all seeds and levels, -1 … 1: what a single level says."""
    levels = np.broadcast_to(np.arange(sweep.shape[1]), sweep.shape)
    return float(spearmanr(levels.ravel(), sweep.ravel()).statistic) if np.ptp(sweep) > 0 else 0.0


def widest_step(sweep: Sweep) -> float:
    """The greatest step between neighbouring levels of the mean over seeds, as a share of the span of all levels."""
    means = sweep.mean(axis=0)
    return float(np.abs(np.diff(means)).max() / np.ptp(means)) if np.ptp(means) > 0 else float("nan")


def changing_steps(sweep: Sweep) -> float:
    """Steps at which the measure's mean over seeds moves with the whole sweep, by `SMALLEST_STEP` of an even step.

    How it moves at a step is the slope of the line through the step's two levels and their neighbours: seeds are few,
    and a single difference of two means is as much chance as change. What counts is where a control is dead, not where
    it stumbles.
    """
    means = sweep.mean(axis=0)
    even_step = (means[-1] - means[0]) / (len(means) - 1)
    if even_step == 0:
        return 0.0
    spans = [slice(max(0, step - 1), step + 3) for step in range(len(means) - 1)]
    slopes = [np.polyfit(np.arange(len(means[span])), means[span], 1)[0] for span in spans]
    return float((np.array(slopes) / even_step >= SMALLEST_STEP).sum())


def fill_gaps(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[levels] with NaN (nothing to measure there) replaced from the neighbouring levels; all NaN stays so."""
    known = ~np.isnan(values)
    if not known.any():
        return values
    return np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])
