"""True peaks: where they are, and the gain that keeps them under a ceiling.

In: sound; out: its peaks, hop by hop, or a gain curve. All is known before it is heard, so that a curve comes down
ahead of a peak. One curve may lie over several sounds: stems under the curve of their mix still sum to it. The calling
thread does the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from streaming.files.filters import filtered
from streaming.files.sound import Samples, Sound, from_av_frame

HOP_FRAMES = SAMPLE_RATE // 500
_OVERSAMPLING = 4
_SMOOTHING_HOPS = 2
"""The gain comes down in a straight line of twice so many hops and is smooth at its corners."""
_HOLD_HOPS = 10
"""As long as half a wave of the lowest bass: between its peaks the gain stands still."""
_RELEASE_DB = 80.0 * HOP_FRAMES / SAMPLE_RATE
"""A hop's, of 80 dB a second."""

Curve = npt.NDArray[np.float32]
"""[hops + 1]: a gain at the beginning of each hop and at the end of the last, with straight lines between."""
Peaks = npt.NDArray[np.float32]
"""[hops]: the true peak within each, linear."""


def num_hops(num_frames: int) -> int:
    return -(-num_frames // HOP_FRAMES)


def flat_curve(num_frames: int, gain: float = 1.0) -> Curve:
    return np.full(num_hops(num_frames) + 1, gain, np.float32)


def true_peaks(sound: Sound) -> Peaks:
    """The true peak within each hop of `sound`; the last hop may be shorter."""
    hop, rest, peaks = _OVERSAMPLING * HOP_FRAMES, np.zeros(0, np.float32), []
    for frame in filtered(sound, [("aresample", f"{_OVERSAMPLING * SAMPLE_RATE}"), ("aformat", "flt")]):
        magnitudes = np.abs(from_av_frame(frame))
        joined = np.concatenate([rest, np.maximum(magnitudes[:, 0], magnitudes[:, 1])])
        whole = len(joined) // hop * hop
        peaks.append(joined[:whole].reshape(-1, hop).max(axis=1))
        rest = joined[whole:]
    return np.concatenate([*peaks, [rest.max()] if len(rest) else []]).astype(np.float32)


def peak_db(peaks: Peaks) -> npt.NDArray[np.float64]:
    return 20 * np.log10(np.maximum(peaks.astype(np.float64), 1e-6))


def limiting(peaks: Peaks, ceiling_db: float, *, is_loop: bool = False) -> Curve:
    """The curve under which no peak is above `ceiling_db`; 1 far from such.

    Of a loop it ends as it begins: each side of the seam knows of the other's peaks.
    """
    if is_loop:
        return limiting(np.tile(peaks, 3), ceiling_db)[len(peaks) : 2 * len(peaks) + 1]
    needed_db = np.minimum(0.0, ceiling_db - peak_db(peaks))
    if not needed_db.any():
        return np.ones(len(peaks) + 1, np.float32)
    # Point p lies between hops p - 1 and p. Where the gain is smoothed, every point of the window knows of the peak.
    behind, ahead = _HOLD_HOPS, _SMOOTHING_HOPS + 1
    padded_db = np.pad(needed_db, (behind + _SMOOTHING_HOPS, ahead + _SMOOTHING_HOPS))
    held_db = np.lib.stride_tricks.sliding_window_view(padded_db, behind + ahead).min(axis=1)
    release_db = _RELEASE_DB * np.arange(len(held_db))
    held_db = np.minimum(np.minimum.accumulate(held_db - release_db) + release_db, 0.0)
    window = np.full(2 * _SMOOTHING_HOPS + 1, 1 / (2 * _SMOOTHING_HOPS + 1))
    return (10 ** (np.convolve(held_db, window, "valid") / 20)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Curved:
    """`sound` under a gain curve; made anew whenever it is gone through."""

    sound: Sound
    curve: Curve

    def __iter__(self) -> Iterator[Samples]:
        position = 0
        for samples in self.sound:
            first, last = position // HOP_FRAMES, num_hops(position + len(samples))
            at = (np.arange(position, position + len(samples)) - first * HOP_FRAMES) / HOP_FRAMES
            gains = np.interp(at, np.arange(last - first + 1), self.curve[first : last + 1]).astype(np.float32)
            position += len(samples)
            yield samples * gains[:, None]
