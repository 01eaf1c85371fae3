"""The master's tone: a high-pass, a shelf, a style's equaliser and width. In: [2, n] mix; out: the same rows.

Remembers a TONE record. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.targets import NUM_TONES, SIDE_DB, TONE_DB, value

LOW_HZ, BELLS_HZ, HIGH_HZ = 100.0, (190.0, 460.0, 1100.0, 2700.0), 6500.0
"""Of the equaliser: a shelf below, bells, a shelf above. Their places are fixed, only their gains move."""
_NUM_BELLS = len(BELLS_HZ)
assert NUM_TONES == _NUM_BELLS + 2
_BELL_Q = 0.75

TONE = np.dtype(
    [
        ("highpass", np.float64, (CHANNELS, 2)),
        ("shelf", np.float64, (CHANNELS,)),
        ("bells", np.float64, (_NUM_BELLS, CHANNELS, 2)),
        ("low", np.float64, (CHANNELS,)),
        ("high", np.float64, (CHANNELS,)),
    ]
)


def _warped(hz: float) -> float:
    """An analog filter's frequency, for which the trapezoidal one's is `hz`."""
    return math.tan(math.pi * hz / SAMPLE_RATE)


def _state_variable(hz: float, damping: float) -> tuple[float, float, float]:
    """The trapezoidal state-variable filter's a1, a2, a3 (Simper, Solving the continuous SVF equations, 2013);
    `damping` is 1 / Q."""
    g = _warped(hz)
    a1 = 1.0 / (1.0 + g * (g + damping))
    return a1, g * a1, g * g * a1


_BELLS_A1, _BELLS_A2, _BELLS_A3 = zip(*(_state_variable(hz, 1.0 / _BELL_Q) for hz in BELLS_HZ), strict=True)
_LOW_SHARE, _HIGH_SHARE = (1.0 - math.exp(-2.0 * math.pi * hz / SAMPLE_RATE) for hz in (LOW_HZ, HIGH_HZ))


_ROOT_2 = math.sqrt(2.0)
_A1, _A2, _A3 = _state_variable(25.0, _ROOT_2)  # Butterworth
_SHELF_SHARE = 1.0 - math.exp(-2.0 * math.pi * 3500.0 / SAMPLE_RATE)


@kernel
def _excess(db: float) -> float:
    """What a gain adds to what goes through anyway."""
    return 10.0 ** (db / 20) - 1.0


@kernel
def shelf_gain(brightness: float) -> float:
    """What the shelf adds to the treble, linear: -2 … 6 dB for brightness 0 … 1."""
    return _excess(2.0 + 8.0 * (brightness - 0.5))


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


@kernel
def equalise(
    tone: Record, mix: np.ndarray, added: np.ndarray, targets: np.ndarray, frame: int, num_frames: int
) -> None:
    """A style's equaliser, and the level of its sides, in place; `added` [2, CONTROL_FRAMES] is scratch.

    Fixed filters in parallel, each added in its measure: gains may glide at any speed and nothing is computed anew.
    """
    offset = frame % BLOCK_FRAMES
    into = offset % CONTROL_FRAMES
    base, end = offset - into, offset - into + CONTROL_FRAMES
    left, right = mix[0, :num_frames], mix[1, :num_frames]
    more_left, more_right = added[0, :num_frames], added[1, :num_frames]
    low = _excess(value(targets, TONE_DB, base))
    low_slope = (_excess(value(targets, TONE_DB, end)) - low) / CONTROL_FRAMES
    high = _excess(value(targets, TONE_DB + NUM_TONES - 1, base))
    high_slope = (_excess(value(targets, TONE_DB + NUM_TONES - 1, end)) - high) / CONTROL_FRAMES
    l1, r1, l2, r2 = tone.low[0], tone.low[1], tone.high[0], tone.high[1]
    for i in range(num_frames):
        x, y = left[i], right[i]
        l1 += _LOW_SHARE * (x - l1)
        r1 += _LOW_SHARE * (y - r1)
        l2 += _HIGH_SHARE * (x - l2)
        r2 += _HIGH_SHARE * (y - r2)
        below, above = low + low_slope * (into + i), high + high_slope * (into + i)
        more_left[i] = below * l1 + above * (x - l2)
        more_right[i] = below * r1 + above * (y - r2)
    tone.low[0], tone.low[1], tone.high[0], tone.high[1] = l1, r1, l2, r2
    for bell in range(_NUM_BELLS):
        a1, a2, a3 = _BELLS_A1[bell], _BELLS_A2[bell], _BELLS_A3[bell]
        gain = _excess(value(targets, TONE_DB + 1 + bell, base)) / _BELL_Q
        slope = (_excess(value(targets, TONE_DB + 1 + bell, end)) / _BELL_Q - gain) / CONTROL_FRAMES
        state = tone.bells[bell]
        l1, l2, r1, r2 = state[0, 0], state[0, 1], state[1, 0], state[1, 1]
        for i in range(num_frames):
            x, y = left[i] - l2, right[i] - r2
            band_x, band_y = a1 * l1 + a2 * x, a1 * r1 + a2 * y
            l1, l2 = 2.0 * band_x - l1, l2 + 2.0 * (a2 * l1 + a3 * x)
            r1, r2 = 2.0 * band_y - r1, r2 + 2.0 * (a2 * r1 + a3 * y)
            here = gain + slope * (into + i)
            more_left[i] += here * band_x
            more_right[i] += here * band_y
        state[0, 0], state[0, 1], state[1, 0], state[1, 1] = l1, l2, r1, r2
    side = 0.5 * 10.0 ** (value(targets, SIDE_DB, base) / 20)
    side_slope = (0.5 * 10.0 ** (value(targets, SIDE_DB, end) / 20) - side) / CONTROL_FRAMES
    for i in range(num_frames):
        x, y = left[i] + more_left[i], right[i] + more_right[i]
        middle, sides = 0.5 * (x + y), (side + side_slope * (into + i)) * (x - y)
        left[i], right[i] = middle + sides, middle - sides


def response_db(gains_db: npt.ArrayLike, hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """What `equalise` does to the level at each of `hz` with NUM_TONES gains."""
    more = 10.0 ** (np.asarray(gains_db, np.float64) / 20) - 1.0
    z = np.exp(-2j * np.pi * np.asarray(hz, np.float64) / SAMPLE_RATE)
    low, high = (share / (1.0 - (1.0 - share) * z) for share in (_LOW_SHARE, _HIGH_SHARE))
    heard = 1.0 + more[0] * low + more[-1] * (1.0 - high)
    for gain, centre_hz in zip(more[1:-1], BELLS_HZ, strict=True):
        s = (1.0 - z) / (1.0 + z) / _warped(centre_hz)
        heard = heard + gain * (s / _BELL_Q) / (s * s + s / _BELL_Q + 1.0)
    return 20.0 * np.log10(np.abs(heard))
