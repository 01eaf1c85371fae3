"""A layer's channel strip: tube, equaliser, stereo picture. In: the layer's bus of one chunk; out: the same rows.

Remembers in a STRIP record and two delay lines. Called inside the slot kernel, with the layer's numbers from the
targets; filters are set at control points and their gains glide between them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.effects.lines import ANTI_DENORMAL, allpass, read_line, write_line
from engine.synth.effects.saturation import LEAST_DRIVE, TUBE_BIAS, saturate
from engine.synth.sizes import CONTROL_FRAMES, NUM_LAYERS
from engine.synth.sources.oscillators import TAU
from engine.synth.targets import (
    HIGH_GAIN,
    HIGH_HZ,
    LOW_GAIN,
    LOW_HZ,
    PEAK_GAIN,
    PEAK_HZ,
    SPREAD,
    TUBE,
    WIDTH,
    value,
)

SPREAD_FRAMES = 512
RING_OUT_PERIODS = 400
"""Half a second: what the strip remembers of a layer that fell silent has died away."""
PEAK_DAMPING = 1.1
"""1 / Q."""
_SPREAD_KEEP = math.exp(-TAU * 260.0 / SAMPLE_RATE)
"""Below 260 Hz the picture stays in the middle."""
SPREAD_LENGTHS = (311, 283, 401, 443, 353)
SPREAD_DIFFUSION = 0.5
assert max(SPREAD_LENGTHS) + CONTROL_FRAMES <= SPREAD_FRAMES


_LONG_QUIET = 1 << 40
"""Control periods; a layer that never sounded."""

STRIP = np.dtype(
    [
        ("quiet_periods", np.int64),  # control periods since a voice of the layer sounded
        ("tube", np.float64, (CHANNELS,)),  # the sample before
        ("low", np.float64, (CHANNELS,)),
        ("high", np.float64, (CHANNELS,)),
        ("peak", np.float64, (CHANNELS, 2)),
        ("spread_low", np.float64),
    ]
)


def new_strips() -> tuple[npt.NDArray[np.void], npt.NDArray[np.float32]]:
    """Of all layers, silent: STRIP records, and [layers, 2, SPREAD_FRAMES], the middle, late, and its all-pass."""
    strips = np.zeros(NUM_LAYERS, STRIP)
    strips["quiet_periods"] = _LONG_QUIET
    return strips, np.zeros((NUM_LAYERS, 2, SPREAD_FRAMES), np.float32)


@kernel
def is_strip_active(strip: Record, is_sounding: bool, into: int) -> bool:
    """Does the layer sound, or ring on? Counted at control points, so that the cut of a block decides nothing."""
    if is_sounding:
        strip.quiet_periods = 0
    elif into == 0:
        strip.quiet_periods += 1
    return strip.quiet_periods < RING_OUT_PERIODS


@kernel
def _add_shelves(
    strip: Record, bus: np.ndarray, low_hz: float, low: float, low_slope: float, high_hz: float, high: float,
    high_slope: float, into: int, num_frames: int,
) -> None:  # fmt: skip
    """Two one-pole shelves; `low` and `high` are what they add of what is below and above their corners."""
    low_keep, high_keep = math.exp(-TAU * low_hz / SAMPLE_RATE), math.exp(-TAU * high_hz / SAMPLE_RATE)
    low_share, high_share = 1.0 - low_keep, 1.0 - high_keep
    low_left, low_right, high_left, high_right = strip.low[0], strip.low[1], strip.high[0], strip.high[1]
    left, right = bus[0, :num_frames], bus[1, :num_frames]
    for i in range(num_frames):
        time = float(into + i)
        low_gain, high_gain = low + low_slope * time, high + high_slope * time
        x, y = left[i], right[i]
        low_left = low_keep * low_left + low_share * x
        low_right = low_keep * low_right + low_share * y
        high_left = high_keep * high_left + high_share * x
        high_right = high_keep * high_right + high_share * y
        left[i] = x + low_gain * low_left + high_gain * (x - high_left) + ANTI_DENORMAL
        right[i] = y + low_gain * low_right + high_gain * (y - high_right) + ANTI_DENORMAL
    strip.low[0], strip.low[1], strip.high[0], strip.high[1] = low_left, low_right, high_left, high_right


@kernel
def _add_peak(strip: Record, bus: np.ndarray, hz: float, gain: float, slope: float, into: int, num_frames: int) -> None:
    """A bell: `gain` times the band around `hz` on top. The band is that of the filter in filters.py, and as there
    the mean of the integrator before and after."""
    g = math.tan(0.5 * TAU * hz / SAMPLE_RATE)
    a1 = 1.0 / (1.0 + g * (g + PEAK_DAMPING))
    p1, p2, p3 = 2.0 * a1 - 1.0, 2.0 * g * a1, 1.0 - 2.0 * g * g * a1
    gain, slope = 0.5 * PEAK_DAMPING * gain, 0.5 * PEAK_DAMPING * slope
    l1, l2, r1, r2 = strip.peak[0, 0], strip.peak[0, 1], strip.peak[1, 0], strip.peak[1, 1]
    left, right = bus[0, :num_frames], bus[1, :num_frames]
    for i in range(num_frames):
        now = gain + slope * (into + i)
        x, y = left[i], right[i]
        m1, m2 = p1 * l1 + p2 * (x - l2), p2 * l1 + p3 * (l2 - x) + x
        n1, n2 = p1 * r1 + p2 * (y - r2), p2 * r1 + p3 * (r2 - y) + y
        left[i] = x + now * (l1 + m1)
        right[i] = y + now * (r1 + n1)
        l1, l2, r1, r2 = m1, m2, n1, n2
    strip.peak[0, 0], strip.peak[0, 1], strip.peak[1, 0], strip.peak[1, 1] = l1, l2, r1, r2


@kernel
def _widen(
    strip: Record, lines: np.ndarray, bus: np.ndarray, work: np.ndarray, layer: int, width: float, width_slope: float,
    spread: float, spread_slope: float, frame: int, num_frames: int,
) -> None:  # fmt: skip
    """Scale the sides, and add to them the middle, late and diffused: in mono that vanishes without a trace.

    Pseudo-stereo after Lauridsen (1954) and Schroeder (1958): complementary combs left and right.
    """
    into = frame % CONTROL_FRAMES
    left, right = bus[0, :num_frames], bus[1, :num_frames]
    middle, late = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        middle[i] = 0.5 * (left[i] + right[i])
        right[i] = (0.5 * (left[i] - right[i])) * (width + width_slope * (into + i))
    if spread > 0.0 or spread_slope > 0.0:
        length = SPREAD_LENGTHS[layer]
        read_line(lines[0], frame - length, late)
        write_line(lines[0], frame, middle)
        allpass(lines[1], SPREAD_LENGTHS[4 - layer], SPREAD_DIFFUSION, late, frame)
        low = strip.spread_low
        for i in range(num_frames):
            low = _SPREAD_KEEP * low + (1.0 - _SPREAD_KEEP) * late[i]
            right[i] += (spread + spread_slope * (into + i)) * (late[i] - low)
        strip.spread_low = low
    for i in range(num_frames):
        left[i] = middle[i] + right[i]
        right[i] = middle[i] - right[i]


@kernel
def shape_layer(
    strip: Record, lines: np.ndarray, bus: np.ndarray, work: np.ndarray, targets: np.ndarray, layer: int, frame: int,
    base: int, num_frames: int,
) -> None:  # fmt: skip
    """Send `bus` [2, CONTROL_FRAMES] through the strip; `base` is the last control point's offset in the block.

    `lines` [2, SPREAD_FRAMES], `work` [≥ 2, CONTROL_FRAMES] scratch.
    """
    into, end = frame % CONTROL_FRAMES, base + CONTROL_FRAMES
    tube, next_tube = value(targets, TUBE + layer, base), value(targets, TUBE + layer, end)
    if max(tube, next_tube) > LEAST_DRIVE:
        for channel in range(2):
            row, plain = bus[channel, :num_frames], work[0, :num_frames]
            saturate(strip.tube, channel, row, plain, tube, (next_tube - tube) / CONTROL_FRAMES, TUBE_BIAS, into)
    low, next_low = value(targets, LOW_GAIN + layer, base) - 1.0, value(targets, LOW_GAIN + layer, end) - 1.0
    high, next_high = value(targets, HIGH_GAIN + layer, base) - 1.0, value(targets, HIGH_GAIN + layer, end) - 1.0
    _add_shelves(
        strip, bus, value(targets, LOW_HZ + layer, base), low, (next_low - low) / CONTROL_FRAMES,
        value(targets, HIGH_HZ + layer, base), high, (next_high - high) / CONTROL_FRAMES, into, num_frames,
    )  # fmt: skip
    peak, next_peak = value(targets, PEAK_GAIN + layer, base) - 1.0, value(targets, PEAK_GAIN + layer, end) - 1.0
    if peak != 0.0 or next_peak != 0.0:
        slope = (next_peak - peak) / CONTROL_FRAMES
        _add_peak(strip, bus, value(targets, PEAK_HZ + layer, base), peak, slope, into, num_frames)
    width, next_width = value(targets, WIDTH + layer, base), value(targets, WIDTH + layer, end)
    spread, next_spread = value(targets, SPREAD + layer, base), value(targets, SPREAD + layer, end)
    _widen(
        strip, lines, bus, work, layer, width, (next_width - width) / CONTROL_FRAMES, spread,
        (next_spread - spread) / CONTROL_FRAMES, frame, num_frames,
    )  # fmt: skip
