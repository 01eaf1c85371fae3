"""Peaks that a codec makes out of sound that had none: found in what a player decodes, lowered where they are.

In: sound and its encoding; out: a gain curve. To lower the whole, or its limiter's ceiling, would cost loudness for the
sake of a few moments. The calling thread does the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from streaming.files.loudness import filtered
from streaming.files.sound import Samples, Sound, from_av_frame

HOP_FRAMES = SAMPLE_RATE // 100
_OVERSAMPLING = 4
_REACH_HOPS = 2
"""A dip is as deep as its peak is high for so many hops on both sides, and is over a hop later."""

Curve = npt.NDArray[np.floating]
"""[hops + 1]: a gain at the beginning of each hop and at the end of the last, with straight lines between."""


def flat_curve(num_frames: int) -> Curve:
    return np.ones(-(-num_frames // HOP_FRAMES) + 1)


def dips(peaks_db: npt.NDArray[np.floating], ceiling_db: float) -> Curve:
    """The curve that brings true peaks, [hops], down to `ceiling_db` where they are above it."""
    needed_db = np.minimum(0.0, ceiling_db - peaks_db)
    padded_db = np.pad(needed_db, _REACH_HOPS + 1)
    deepest_db = np.lib.stride_tricks.sliding_window_view(padded_db, 2 * _REACH_HOPS + 2).min(axis=1)
    return 10 ** (deepest_db / 20)


def true_peaks_db(sound: Sound) -> npt.NDArray[np.floating]:
    """The true peak within each hop of `sound`, [hops]; the last hop may be shorter."""
    hop, rest, peaks = _OVERSAMPLING * HOP_FRAMES, np.zeros(0, np.float32), []
    for frame in filtered(sound, [("aresample", f"{_OVERSAMPLING * SAMPLE_RATE}"), ("aformat", "flt")]):
        joined = np.concatenate([rest, np.abs(from_av_frame(frame)).max(axis=1)])
        whole = len(joined) // hop * hop
        peaks.append(joined[:whole].reshape(-1, hop).max(axis=1))
        rest = joined[whole:]
    joined = np.concatenate([*peaks, [rest.max()] if len(rest) else []])
    return 20 * np.log10(np.maximum(joined, 1e-6))


@dataclass(frozen=True, slots=True)
class Curved:
    """`sound` under a gain curve; made anew whenever it is gone through."""

    sound: Sound
    curve: Curve

    def __iter__(self) -> Iterator[Samples]:
        position = 0
        for samples in self.sound:
            at = np.arange(position, position + len(samples)) / HOP_FRAMES
            gains = np.interp(at, np.arange(len(self.curve)), self.curve).astype(np.float32)
            position += len(samples)
            yield samples * gains[:, None]
