"""The bus compressor, and the room for speech. In: powers of control periods, the mix; out: gains, the mix.

Remember a record each. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.oscillators import TAU

_PERIOD_S = CONTROL_FRAMES / SAMPLE_RATE
BUS_RATIO = 2.0
_KNEE_DB = 6.0
BUS_THRESHOLD_LU = 4.0
"""Above the music's last moment."""
_BUS_ATTACK = 1.0 - math.exp(-_PERIOD_S / 0.03)
_BUS_RELEASE = 1.0 - math.exp(-_PERIOD_S / 0.18)
_BUS_DETECTOR = 1.0 - math.exp(-_PERIOD_S / 0.01)

SPEECH_HZ, SPEECH_DAMPING = 2000.0, 1.6
"""The band that makes speech intelligible, about 1 … 4 kHz, and 1 / Q."""
_LEAST_CUT_DB, _MOST_CUT_DB, _FULL_CUT_DB = 4.0, 9.0, -24.0
"""The cut is least in quiet music, and reaches its most where the band is at _FULL_CUT_DB, full scale."""
_SPEECH_GLIDE = 1.0 - math.exp(-_PERIOD_S / 0.08)


BAND = np.dtype([("one", np.float64), ("two", np.float64)])
"""The state-variable filter of the band of speech."""
BUS = np.dtype(
    [
        ("level", np.float64),  # the compressor's detector, a power
        ("gain_db", np.float64),  # its gain at the next control point
        ("gain_db_before", np.float64),  # and at the last
    ]
)
SPEECH = np.dtype(
    [
        ("power", np.float64),  # sum of the band over the control period so far
        ("level", np.float64),  # its mean
        ("cut", np.float64),  # share of the band taken off, at the next control point
        ("cut_before", np.float64),
    ]
)


@kernel
def compress_bus(bus: Record, power: float, moment_lufs: float) -> None:
    """At a control point, set the gain of the 2:1 bus compressor for the period that follows.

    `power` is the K-weighted mean square of the period before, `moment_lufs` how loud the music has been for a moment.
    The threshold lies above that, so that the soft is held together as the loud is, and what grows may grow; attack
    30 ms, which lets a drum's stroke through.
    """
    bus.gain_db_before = bus.gain_db
    bus.level += _BUS_DETECTOR * (power - bus.level)
    over_db = 10.0 * math.log10(bus.level + 1e-12) - 0.691 - moment_lufs - BUS_THRESHOLD_LU
    wanted_db = 0.0
    if over_db > 0.5 * _KNEE_DB:
        wanted_db = (1.0 / BUS_RATIO - 1.0) * over_db
    elif over_db > -0.5 * _KNEE_DB:
        wanted_db = (1.0 / BUS_RATIO - 1.0) * (over_db + 0.5 * _KNEE_DB) ** 2 / (2.0 * _KNEE_DB)
    share = _BUS_ATTACK if wanted_db < bus.gain_db else _BUS_RELEASE
    bus.gain_db += share * (wanted_db - bus.gain_db)


@kernel
def aim_speech(speech: Record, amount: float) -> None:
    """At a control point, set how much of the band of speech is taken off by the next; `amount` 0 … 1."""
    speech.cut_before = speech.cut
    speech.level += _SPEECH_GLIDE * (speech.power / CONTROL_FRAMES - speech.level)
    speech.power = 0.0
    level_db = 10.0 * math.log10(speech.level + 1e-12)
    share = min(1.0, max(0.0, 1.0 + (level_db - _FULL_CUT_DB) / 24.0))
    cut_db = _LEAST_CUT_DB + (_MOST_CUT_DB - _LEAST_CUT_DB) * share
    speech.cut = amount * (1.0 - 10.0 ** (-cut_db / 20))


@kernel
def leave_room_for_speech(
    speech: Record, filtering: Record, bus: np.ndarray, is_mix: bool, into: int, num_frames: int
) -> None:
    """Take the band of speech off the middle, where who speaks stands, in place. The band is that of filters.py.

    How much of it, the mix decides; `filtering` is a BAND of the bus's own.
    """
    before, after = speech.cut_before, speech.cut
    if before == 0.0 and after == 0.0:
        filtering.one, filtering.two = 0.0, 0.0
        return
    slope = (after - before) / CONTROL_FRAMES
    g = math.tan(0.5 * TAU * SPEECH_HZ / SAMPLE_RATE)
    a1 = 1.0 / (1.0 + g * (g + SPEECH_DAMPING))
    p1, p2, p3 = 2.0 * a1 - 1.0, 2.0 * g * a1, 1.0 - 2.0 * g * g * a1
    one, two, power = filtering.one, filtering.two, speech.power
    left, right = bus[0, :num_frames], bus[1, :num_frames]
    for i in range(num_frames):
        middle = 0.5 * (left[i] + right[i])
        next_one, next_two = p1 * one + p2 * (middle - two), p2 * one + p3 * (two - middle) + middle
        band = 0.5 * SPEECH_DAMPING * (one + next_one)
        one, two = next_one, next_two
        power += band * band
        cut = (before + slope * (into + i)) * band
        left[i] -= cut
        right[i] -= cut
    filtering.one, filtering.two = one, two
    if is_mix:
        speech.power = power
