"""From the mix to the listener: tone, loudness, fader, true-peak limiter. In: [2, n] mix; out: float32 frames.

Remembers in one MASTER record and three rings. Called inside the slot kernel. The sound leaves LATENCY_FRAMES later.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.audio import SAMPLE_RATE
from engine.synth.state import FIXED_POINT, MASTER_FRAMES, WINDOW_FRAMES

OVERSAMPLING, PHASE_TAPS = 4, 12
LATENCY_FRAMES = WINDOW_FRAMES + PHASE_TAPS // 2
assert LATENCY_FRAMES + PHASE_TAPS < MASTER_FRAMES

CEILING = 10.0 ** (-1.6 / 20)
"""0.6 dB under the promised -1 dBTP; twelve taps a phase were seen to miss 0.3 dB of cymbals."""
_QUIET = 0.35
"""Below this no interpolated peak can reach the ceiling: the taps' absolute sum is under 2.4."""
_LIMIT_RELEASE = 1.0 - math.exp(-1.0 / (0.09 * SAMPLE_RATE))

MIN_GAIN_DB, MAX_GAIN_DB = -12.0, 9.0
_LONG_S, _MOMENTARY_S, _GAIN_S = 3.0, 0.4, 0.8
_SILENCE_LUFS, _GATE_LU = -55.0, 10.0


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


_A1, _A2, _A3 = _highpass(25.0)
_SHELF_SHARE = 1.0 - math.exp(-2.0 * math.pi * 3500.0 / SAMPLE_RATE)


@njit(error_model="numpy", nogil=True)
def shape_tone(master: np.void, mix: np.ndarray, brightness: float, num_frames: int) -> None:
    """High-pass at 25 Hz, and a shelf above 3.5 kHz of -2 … 6 dB by brightness, in place."""
    shelf = 10.0 ** ((2.0 + 8.0 * (brightness - 0.5)) / 20) - 1.0
    for channel in range(2):
        s1, s2 = master.highpass[channel, 0], master.highpass[channel, 1]
        low = master.shelf[channel]
        for i in range(num_frames):
            x = mix[channel, i] + 1e-18
            v1 = _A1 * s1 - _A2 * s2 + _A2 * x
            v2 = _A2 * s1 + (1.0 - _A3) * s2 + _A3 * x
            s1, s2 = 2.0 * v1 - s1, 2.0 * v2 - s2
            x -= 1.4142135623730951 * v1 + v2
            low += _SHELF_SHARE * (x - low)
            mix[channel, i] = x + shelf * (x - low)
        master.highpass[channel, 0], master.highpass[channel, 1], master.shelf[channel] = s1, s2, low


@njit(error_model="numpy", nogil=True)
def measure_loudness(master: np.void, mix: np.ndarray, num_frames: int) -> None:
    """K-weighted mean squares of ITU-R BS.1770-4 (coefficients of its annex 1 for 48 kHz), momentary and long."""
    share = 1.0 / (_MOMENTARY_S * SAMPLE_RATE)
    momentary, mean_square, heard = master.momentary, master.mean_square, master.heard_frames
    w = master.weighting
    l1, l2, l3, l4 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
    r1, r2, r3, r4 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
    long_share = 1.0 / (_LONG_S * SAMPLE_RATE)
    silence = 10.0 ** ((_SILENCE_LUFS + 0.691) / 10)
    for i in range(num_frames):
        x = mix[0, i] + 1.69065929318241 * l1 - 0.73248077421585 * l2
        y = 1.53512485958697 * x - 2.69169618940638 * l1 + 1.19839281085285 * l2
        l1, l2 = x, l1
        x = y + 1.99004745483398 * l3 - 0.99007225036621 * l4
        left = x - 2.0 * l3 + l4
        l3, l4 = x, l3
        x = mix[1, i] + 1.69065929318241 * r1 - 0.73248077421585 * r2
        y = 1.53512485958697 * x - 2.69169618940638 * r1 + 1.19839281085285 * r2
        r1, r2 = x, r1
        x = y + 1.99004745483398 * r3 - 0.99007225036621 * r4
        right = x - 2.0 * r3 + r4
        r3, r4 = x, r3
        power = left * left + right * right
        momentary += share * (power - momentary)
        if momentary > silence:
            # The mean begins as the mean so far; quiet passages count little, or a rest would be turned up.
            heard += 1
            weight = long_share
            if heard < _LONG_S * SAMPLE_RATE - 4800.0:
                weight = 1.0 / (heard + 4800.0)
            if momentary < 0.1 * mean_square:
                weight *= 0.2
            mean_square += weight * (power - mean_square)
    w[0, 0], w[0, 1], w[0, 2], w[0, 3] = l1, l2, l3, l4
    w[1, 0], w[1, 1], w[1, 2], w[1, 3] = r1, r2, r3, r4
    master.momentary, master.mean_square, master.heard_frames = momentary, mean_square, heard


@njit(error_model="numpy", nogil=True)
def follow_loudness(master: np.void, num_frames: int) -> None:
    """Move the follower's offset, in dB, towards the one that would bring the music to -16 LUFS.

    The target itself is added afterwards, so that a new target is heard at once and the follower stays slow.
    Stands still in silence and in the first 300 ms; never outside MIN_GAIN_DB … MAX_GAIN_DB.
    """
    master.gain_db_before = master.gain_db
    if master.heard_frames < 0.3 * SAMPLE_RATE or master.momentary < 10.0 ** ((_SILENCE_LUFS + 0.691) / 10):
        return
    measured = 10.0 * math.log10(master.mean_square + 1e-12) - 0.691
    wanted = min(max(-16.0 - measured, MIN_GAIN_DB), MAX_GAIN_DB)
    master.gain_db += (wanted - master.gain_db) * (1.0 - math.exp(-num_frames / (_GAIN_S * SAMPLE_RATE)))


@njit(error_model="numpy", nogil=True)
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


@njit(error_model="numpy", nogil=True)
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
    window = WINDOW_FRAMES
    for i in range(num_frames):
        at = frame + i
        for channel in range(2):
            lookahead[channel, at & mask] = mix[channel, i]
            lookahead[channel, (at & mask) + MASTER_FRAMES] = mix[channel, i]
        master.quiet_frames += 1
        if max(abs(mix[0, i]), abs(mix[1, i])) > _QUIET:
            master.quiet_frames = 0
        target = 1.0
        if master.quiet_frames < PHASE_TAPS:
            target = min(1.0, CEILING / _true_peak(lookahead, at))
        limits[at & mask] = target
        master.lowest_age += 1
        if target <= master.lowest:
            master.lowest, master.lowest_age = target, 0
        elif master.lowest_age > window:
            master.lowest = 2.0
            for back in range(window + 1):
                if limits[(at - back) & mask] < master.lowest:
                    master.lowest, master.lowest_age = limits[(at - back) & mask], back
        master.limit = min(master.lowest, master.limit + _LIMIT_RELEASE * (1.0 - master.limit))
        fixed = int(master.limit * FIXED_POINT)
        master.limit_sum += fixed - smoothing[(at - window) & mask]
        smoothing[at & mask] = fixed
        gain = master.limit_sum / (window * float(FIXED_POINT))
        for channel in range(2):
            out[channel, first + i] = gain * lookahead[channel, (at - LATENCY_FRAMES) & mask]
