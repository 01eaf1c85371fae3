"""The true-peak limiter. In: [2, n] mix; out: float32 frames, LATENCY_FRAMES later.

Remembers a LIMITER record and three rings. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES

RING_FRAMES = 256
WINDOW_FRAMES = 64
"""Look-ahead over which the gain comes down."""
FIXED_POINT = 2**40
"""1.0 in the running sum of gains."""
OVERSAMPLING, PHASE_TAPS = 4, 12
LATENCY_FRAMES = WINDOW_FRAMES + PHASE_TAPS // 2
assert LATENCY_FRAMES + CONTROL_FRAMES <= RING_FRAMES, "a chunk is written before it is read"

CEILING = 10.0 ** (-2.0 / 20)
"""1 dB under the promised -1 dBTP; twelve taps a phase were seen to miss 0.8 dB of chip noise."""
_QUIET = 0.5
"""4.4 dB under the ceiling: where no sample is above this, no peak of music between samples reaches the ceiling."""
_LIMIT_RELEASE = 1.0 - math.exp(-1.0 / (0.06 * SAMPLE_RATE))
_HABIT_DOWN = 1.0 - math.exp(-1.0 / (0.06 * SAMPLE_RATE))
_HABIT_UP = 1.0 - math.exp(-1.0 / (0.6 * SAMPLE_RATE))
"""The limit is released only up to its habit, the limit asked for of late: the waves of a bass do not work the gain,
and a drum's stroke is forgotten."""


def _interpolator() -> np.ndarray:
    """Windowed sinc, [PHASE_TAPS, OVERSAMPLING]; phase 0 is the sample itself."""
    time = np.arange(PHASE_TAPS)[None, :] - PHASE_TAPS // 2 + 1 - np.arange(OVERSAMPLING)[:, None] / OVERSAMPLING
    taps = np.sinc(time) * np.kaiser(2 * 4096 + 1, 5.0)[np.rint((time / (PHASE_TAPS / 2) + 1) * 4096).astype(int)]
    assert np.abs(taps).sum(axis=1).max() < 2.4
    return np.ascontiguousarray((taps / taps.sum(axis=1, keepdims=True)).T)


_TAPS = _interpolator()

LIMITER = np.dtype(
    [
        ("quiet_frames", np.int64),  # since a sample that could make a peak
        ("limit", np.float64),  # gain after release, before smoothing
        ("habit", np.float64),  # where the gain has been of late
        ("gain_sum", np.int64),  # over the smoothing window, fixed point
        ("lowest", np.float64),  # least target in the look-ahead
        ("lowest_age", np.int64),
    ]
)


def new_limiter() -> tuple[
    npt.NDArray[np.void], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]
]:
    """At rest, the gain 1: its record; [1, 2, 2 * RING_FRAMES] of sound, written twice so that a window is one piece;
    [RING_FRAMES] of targets; and [RING_FRAMES] of gains in fixed point."""
    limiter = np.zeros(1, LIMITER)
    for field in ("limit", "habit", "lowest"):
        limiter[field] = 1.0
    limiter["gain_sum"] = FIXED_POINT * WINDOW_FRAMES
    lookahead = np.zeros((1, CHANNELS, 2 * RING_FRAMES))
    return limiter, lookahead, np.ones(RING_FRAMES), np.full(RING_FRAMES, FIXED_POINT)


@kernel
def mean_gain(limiter: Record) -> float:
    """Of the smoothing window that ends now."""
    return limiter.gain_sum / (WINDOW_FRAMES * float(FIXED_POINT))


@kernel
def _true_peak(lookahead: np.ndarray, frame: int) -> float:
    """Greatest magnitude, interpolated four-fold, around the sample PHASE_TAPS / 2 frames before `frame`."""
    first = (frame - PHASE_TAPS + 1) & (RING_FRAMES - 1)
    peak = 0.0
    for channel in range(2):
        a = b = c = d = 0.0
        for tap in range(PHASE_TAPS):
            value = lookahead[channel, first + tap]
            a += _TAPS[tap, 0] * value
            b += _TAPS[tap, 1] * value
            c += _TAPS[tap, 2] * value
            d += _TAPS[tap, 3] * value
        peak = max(peak, abs(a), abs(b), abs(c), abs(d))
    return peak


@kernel
def _is_idle(limiter: Record, mix: np.ndarray, num_frames: int) -> bool:
    """Is the limiter's gain 1 and no sample near the ceiling, neither in `mix` nor in the interpolator's reach?"""
    if (
        limiter.gain_sum != WINDOW_FRAMES * FIXED_POINT
        or limiter.limit < 1.0
        or limiter.habit < 1.0
        or limiter.quiet_frames < PHASE_TAPS
    ):
        return False
    loud = 0
    for channel in range(2):
        row = mix[channel, :num_frames]
        for i in range(num_frames):
            loud += abs(row[i]) > _QUIET
    return loud == 0


@kernel
def _update_limit(limiter: Record, lookahead: np.ndarray, limits: np.ndarray, sample: float, at: int) -> float:
    """Take in one frame whose greater magnitude is `sample`; returns the limit before smoothing."""
    mask = RING_FRAMES - 1
    limiter.quiet_frames = 0 if sample > _QUIET else limiter.quiet_frames + 1
    target = 1.0
    if limiter.quiet_frames < PHASE_TAPS:
        target = min(1.0, CEILING / _true_peak(lookahead, at))
    limits[at & mask] = target
    limiter.lowest_age += 1
    if target <= limiter.lowest:
        limiter.lowest, limiter.lowest_age = target, 0
    elif limiter.lowest_age > WINDOW_FRAMES:
        limiter.lowest = 2.0
        for back in range(WINDOW_FRAMES + 1):
            if limits[(at - back) & mask] < limiter.lowest:
                limiter.lowest, limiter.lowest_age = limits[(at - back) & mask], back
    share = _HABIT_DOWN if limiter.lowest < limiter.habit else _HABIT_UP
    limiter.habit += share * (min(1.0, limiter.lowest) - limiter.habit)
    if limiter.habit > 0.9999 and limiter.lowest >= 1.0:
        limiter.habit = 1.0
    limit = min(limiter.lowest, limiter.limit + _LIMIT_RELEASE * max(0.0, limiter.habit - limiter.limit))
    return 1.0 if limit > 1.0 - 1e-7 else limit


@kernel
def _take_in(lookahead: np.ndarray, bus: np.ndarray, frame: int, num_frames: int) -> None:
    for channel in range(2):
        for i in range(num_frames):
            at = (frame + i) & (RING_FRAMES - 1)
            lookahead[channel, at] = bus[channel, i]
            lookahead[channel, at + RING_FRAMES] = bus[channel, i]


@kernel
def limit(
    limiter: Record,
    lookahead: np.ndarray,
    limits: np.ndarray,
    smoothing: np.ndarray,
    mix: np.ndarray,
    gains: np.ndarray,
    out: np.ndarray,
    first: int,
    frame: int,
    num_frames: int,
) -> None:
    """Write `mix` to out[:, first:] LATENCY_FRAMES later, at most CEILING; `gains` [num_frames] tells how.

    Least target over the window, slow release, then a moving average as long as the window: the gain arrives
    before the peak does and has no corner. The running sum is in fixed point, so it never drifts.
    """
    mask = RING_FRAMES - 1
    idle = _is_idle(limiter, mix, num_frames)
    _take_in(lookahead, mix, frame, num_frames)
    if idle:
        limiter.quiet_frames += num_frames
        limiter.lowest_age = 0
        for i in range(num_frames):
            limits[(frame + i) & mask] = 1.0
            smoothing[(frame + i) & mask] = FIXED_POINT
            gains[i] = 1.0
            for channel in range(2):
                out[channel, first + i] = lookahead[channel, (frame + i - LATENCY_FRAMES) & mask]
        return
    for i in range(num_frames):
        at = frame + i
        limiter.limit = _update_limit(limiter, lookahead, limits, max(abs(mix[0, i]), abs(mix[1, i])), at)
        fixed = int(limiter.limit * FIXED_POINT)
        limiter.gain_sum += fixed - smoothing[(at - WINDOW_FRAMES) & mask]
        smoothing[at & mask] = fixed
        gain = mean_gain(limiter)
        gains[i] = gain
        for channel in range(2):
            out[channel, first + i] = gain * lookahead[channel, (at - LATENCY_FRAMES) & mask]


@kernel
def limit_alike(
    lookahead: np.ndarray, gains: np.ndarray, bus: np.ndarray, out: np.ndarray, first: int, frame: int, num_frames: int
) -> None:
    """Write `bus` to out[:, first:] as late as the mix, and under the same `gains` [num_frames]."""
    _take_in(lookahead, bus, frame, num_frames)
    for channel in range(2):
        for i in range(num_frames):
            sample = lookahead[channel, (frame + i - LATENCY_FRAMES) & (RING_FRAMES - 1)]
            out[channel, first + i] = gains[i] * sample
