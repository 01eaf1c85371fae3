"""The master's tone: a high-pass and a shelf. In: [2, n] mix; out: the same rows. Remembers a TONE record.

Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel

TONE = np.dtype([("highpass", np.float64, (CHANNELS, 2)), ("shelf", np.float64, (CHANNELS,))])


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
def shape_tone(tone: Record, mix: np.ndarray, shelf: float, shelf_slope: float, into: int, num_frames: int) -> None:
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
    l1, l2, r1, r2 = tone.highpass[0, 0], tone.highpass[0, 1], tone.highpass[1, 0], tone.highpass[1, 1]
    low_left, low_right = tone.shelf[0], tone.shelf[1]
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
    tone.highpass[0, 0], tone.highpass[0, 1], tone.highpass[1, 0], tone.highpass[1, 1] = l1, l2, r1, r2
    tone.shelf[0], tone.shelf[1] = low_left, low_right
