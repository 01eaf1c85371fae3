"""From the mix to the listener: the tone, and the true-peak limiter. In: [2, n] mix; out: float32 frames.

Remembers in one MASTER record and three rings. Called inside the slot kernel. The sound leaves LATENCY_FRAMES later.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.state import CONTROL_FRAMES, FIXED_POINT, MASTER_FRAMES, WINDOW_FRAMES

OVERSAMPLING, PHASE_TAPS = 4, 12
LATENCY_FRAMES = WINDOW_FRAMES + PHASE_TAPS // 2
assert LATENCY_FRAMES + CONTROL_FRAMES <= MASTER_FRAMES, "a chunk is written before it is read"

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


def _highpass(cutoff_hz: float) -> tuple[float, float, float]:
    """Second-order Butterworth: the trapezoidal filter's a1, a2, a3."""
    g = math.tan(math.pi * cutoff_hz / SAMPLE_RATE)
    a1 = 1.0 / (1.0 + g * (g + math.sqrt(2.0)))
    return a1, g * a1, g * g * a1


_ROOT_2 = math.sqrt(2.0)
_A1, _A2, _A3 = _highpass(25.0)
_SHELF_SHARE = 1.0 - math.exp(-2.0 * math.pi * 3500.0 / SAMPLE_RATE)


@kernel
def shelf_gain(brightness: float) -> float:
    """What the shelf adds to the treble, linear: -2 … 6 dB for brightness 0 … 1."""
    return 10.0 ** ((2.0 + 8.0 * (brightness - 0.5)) / 20) - 1.0


@kernel
def shape_tone(master: np.void, mix: np.ndarray, shelf: float, shelf_slope: float, into: int, num_frames: int) -> None:
    """High-pass at 25 Hz and a shelf above 3.5 kHz, in place.

    Values hold at the last control point, `into` frames ago, and change by their slopes every frame. The high-pass is
    the trapezoidal state-variable filter with both integrators written in terms of the state alone; the channels'
    recurrences overlap.
    """
    p1, p2, p3 = 2.0 * _A1 - 1.0, 2.0 * _A2, 1.0 - 2.0 * _A3
    q1, q2 = _ROOT_2 * _A1 + _A2, 1.0 - _A3 - _ROOT_2 * _A2
    through = 1.0 - _ROOT_2 * _A2 - _A3
    keep = 1.0 - _SHELF_SHARE
    left, right = mix[0, :num_frames], mix[1, :num_frames]
    l1, l2, r1, r2 = master.highpass[0, 0], master.highpass[0, 1], master.highpass[1, 0], master.highpass[1, 1]
    low_left, low_right = master.shelf[0], master.shelf[1]
    # Alternating, or the integrators would sink into denormal numbers behind a constant.
    tiny = 1e-18 if into % 2 else -1e-18
    for i in range(num_frames):
        tiny = -tiny
        x, y = left[i] + tiny, right[i] + tiny
        high_x = through * x - q1 * l1 - q2 * l2
        high_y = through * y - q1 * r1 - q2 * r2
        l1, l2 = p1 * l1 - p2 * l2 + 2.0 * _A2 * x, p2 * l1 + p3 * l2 + 2.0 * _A3 * x
        r1, r2 = p1 * r1 - p2 * r2 + 2.0 * _A2 * y, p2 * r1 + p3 * r2 + 2.0 * _A3 * y
        low_left = keep * low_left + _SHELF_SHARE * high_x
        low_right = keep * low_right + _SHELF_SHARE * high_y
        gain = shelf + shelf_slope * (into + i)
        left[i] = high_x + gain * (high_x - low_left)
        right[i] = high_y + gain * (high_y - low_right)
    master.highpass[0, 0], master.highpass[0, 1], master.highpass[1, 0], master.highpass[1, 1] = l1, l2, r1, r2
    master.shelf[0], master.shelf[1] = low_left, low_right


@kernel
def _true_peak(lookahead: np.ndarray, frame: int) -> float:
    """Greatest magnitude, interpolated four-fold, around the sample PHASE_TAPS / 2 frames before `frame`."""
    first = (frame - PHASE_TAPS + 1) & (MASTER_FRAMES - 1)
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
def _is_idle(master: np.void, mix: np.ndarray, num_frames: int) -> bool:
    """Is the limiter's gain 1 and no sample near the ceiling, neither in `mix` nor in the interpolator's reach?"""
    if (
        master.limit_sum != WINDOW_FRAMES * FIXED_POINT
        or master.limit < 1.0
        or master.habit < 1.0
        or master.quiet_frames < PHASE_TAPS
    ):
        return False
    loud = 0
    for channel in range(2):
        row = mix[channel, :num_frames]
        for i in range(num_frames):
            loud += abs(row[i]) > _QUIET
    return loud == 0


@kernel
def _update_limit(master: np.void, lookahead: np.ndarray, limits: np.ndarray, sample: float, at: int) -> float:
    """Take in one frame whose greater magnitude is `sample`; returns the limit before smoothing."""
    mask = MASTER_FRAMES - 1
    master.quiet_frames = 0 if sample > _QUIET else master.quiet_frames + 1
    target = 1.0
    if master.quiet_frames < PHASE_TAPS:
        target = min(1.0, CEILING / _true_peak(lookahead, at))
    limits[at & mask] = target
    master.lowest_age += 1
    if target <= master.lowest:
        master.lowest, master.lowest_age = target, 0
    elif master.lowest_age > WINDOW_FRAMES:
        master.lowest = 2.0
        for back in range(WINDOW_FRAMES + 1):
            if limits[(at - back) & mask] < master.lowest:
                master.lowest, master.lowest_age = limits[(at - back) & mask], back
    share = _HABIT_DOWN if master.lowest < master.habit else _HABIT_UP
    master.habit += share * (min(1.0, master.lowest) - master.habit)
    if master.habit > 0.9999 and master.lowest >= 1.0:
        master.habit = 1.0
    limit = min(master.lowest, master.limit + _LIMIT_RELEASE * max(0.0, master.habit - master.limit))
    return 1.0 if limit > 1.0 - 1e-7 else limit


@kernel
def limit(
    master: np.void,
    lookahead: np.ndarray,
    limits: np.ndarray,
    smoothing: np.ndarray,
    mix: np.ndarray,
    out: np.ndarray,
    first: int,
    frame: int,
    num_frames: int,
) -> None:
    """Write `mix` to out[:, first:] LATENCY_FRAMES later, at most CEILING.

    Least target over the window, slow release, then a moving average as long as the window: the gain arrives
    before the peak does and has no corner. The running sum is in fixed point, so it never drifts.
    """
    mask = MASTER_FRAMES - 1
    idle = _is_idle(master, mix, num_frames)
    for channel in range(2):
        for i in range(num_frames):
            at = (frame + i) & mask
            lookahead[channel, at] = mix[channel, i]
            lookahead[channel, at + MASTER_FRAMES] = mix[channel, i]
    if idle:
        master.quiet_frames += num_frames
        master.lowest_age = 0
        for i in range(num_frames):
            limits[(frame + i) & mask] = 1.0
            smoothing[(frame + i) & mask] = FIXED_POINT
            for channel in range(2):
                out[channel, first + i] = lookahead[channel, (frame + i - LATENCY_FRAMES) & mask]
        return
    for i in range(num_frames):
        at = frame + i
        master.limit = _update_limit(master, lookahead, limits, max(abs(mix[0, i]), abs(mix[1, i])), at)
        fixed = int(master.limit * FIXED_POINT)
        master.limit_sum += fixed - smoothing[(at - WINDOW_FRAMES) & mask]
        smoothing[at & mask] = fixed
        gain = master.limit_sum / (WINDOW_FRAMES * float(FIXED_POINT))
        for channel in range(2):
            out[channel, first + i] = gain * lookahead[channel, (at - LATENCY_FRAMES) & mask]
