"""From the mix to the listener: tone, loudness, fader, true-peak limiter. In: [2, n] mix; out: float32 frames.

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

CEILING = 10.0 ** (-1.6 / 20)
"""0.6 dB under the promised -1 dBTP; twelve taps a phase were seen to miss 0.3 dB of cymbals."""
_QUIET = 0.5
"""4.4 dB under the ceiling: where no sample is above this, no peak of music between samples reaches the ceiling."""
_LIMIT_RELEASE = 1.0 - math.exp(-1.0 / (0.09 * SAMPLE_RATE))

MIN_GAIN_DB, MAX_GAIN_DB = -12.0, 12.0
_LONG_S, _MOMENTARY_S, _GAIN_S = 3.0, 0.4, 0.8
_SILENCE_LUFS = -55.0


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
def shape_tone(
    master: np.void, mix: np.ndarray, shelf: float, shelf_slope: float, drive: float, drive_slope: float,
    into: int, num_frames: int,
) -> None:  # fmt: skip
    """High-pass at 25 Hz, a shelf above 3.5 kHz, and a tape's soft saturation, in place.

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
    if drive > 0.0 or drive_slope > 0.0:
        for channel in range(2):
            row = mix[channel, :num_frames]
            for i in range(num_frames):
                pushed = (drive + drive_slope * (into + i)) * row[i]
                row[i] /= math.sqrt(1.0 + pushed * pushed)


@kernel
def measure_loudness(master: np.void, mix: np.ndarray, num_frames: int) -> None:
    """Add the K-weighted power of `mix` (ITU-R BS.1770-4, annex 1, 48 kHz) to the sum of this control period."""
    w = master.weighting
    l1, l2, l3, l4 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
    r1, r2, r3, r4 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
    power = master.power
    left, right = mix[0, :num_frames], mix[1, :num_frames]
    for i in range(num_frames):
        x = (left[i] - 0.73248077421585 * l2) + 1.69065929318241 * l1
        y = 1.53512485958697 * x - 2.69169618940638 * l1 + 1.19839281085285 * l2
        l1, l2 = x, l1
        x = (y - 0.99007225036621 * l4) + 1.99004745483398 * l3
        weighted_left = x - 2.0 * l3 + l4
        l3, l4 = x, l3
        x = (right[i] - 0.73248077421585 * r2) + 1.69065929318241 * r1
        y = 1.53512485958697 * x - 2.69169618940638 * r1 + 1.19839281085285 * r2
        r1, r2 = x, r1
        x = (y - 0.99007225036621 * r4) + 1.99004745483398 * r3
        weighted_right = x - 2.0 * r3 + r4
        r3, r4 = x, r3
        power += weighted_left * weighted_left + weighted_right * weighted_right
    w[0, 0], w[0, 1], w[0, 2], w[0, 3] = l1, l2, l3, l4
    w[1, 0], w[1, 1], w[1, 2], w[1, 3] = r1, r2, r3, r4
    master.power = power


@kernel
def follow_loudness(master: np.void) -> None:
    """At a control point, move the follower's offset, in dB, towards the one that would bring the music to -16 LUFS.

    The target itself is added afterwards, so that a new target is heard at once and the follower stays slow.
    Stands still in silence and in the first 300 ms; never outside MIN_GAIN_DB … MAX_GAIN_DB.
    """
    power = master.power / CONTROL_FRAMES
    master.power = 0.0
    master.gain_db_before = master.gain_db
    master.momentary += (power - master.momentary) * (CONTROL_FRAMES / (_MOMENTARY_S * SAMPLE_RATE))
    if master.momentary < 10.0 ** ((_SILENCE_LUFS + 0.691) / 10):
        return
    # The mean begins as the mean so far; quiet passages count little, or a rest would be turned up.
    master.heard_frames += CONTROL_FRAMES
    share = CONTROL_FRAMES / min(_LONG_S * SAMPLE_RATE, master.heard_frames + 4800.0)
    if master.momentary < 0.1 * master.mean_square:
        share *= 0.2
    master.mean_square += share * (power - master.mean_square)
    if master.heard_frames < 0.3 * SAMPLE_RATE:
        return
    measured = 10.0 * math.log10(master.mean_square + 1e-12) - 0.691
    wanted = min(max(-16.0 - measured, MIN_GAIN_DB), MAX_GAIN_DB)
    master.gain_db += (wanted - master.gain_db) * (1.0 - math.exp(-CONTROL_FRAMES / (_GAIN_S * SAMPLE_RATE)))


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
    if master.limit_sum != WINDOW_FRAMES * FIXED_POINT or master.limit < 1.0 or master.quiet_frames < PHASE_TAPS:
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
    limit = min(master.lowest, master.limit + _LIMIT_RELEASE * (1.0 - master.limit))
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
