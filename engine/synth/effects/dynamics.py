"""The bus compressor, and the room for a voice. In: powers of control periods, the mix; out: gains, the mix.

Remember in the MASTER record. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.effects.loudness import REFERENCE_LUFS
from engine.synth.sources.oscillators import TAU
from engine.synth.state import CONTROL_FRAMES

_PERIOD_S = CONTROL_FRAMES / SAMPLE_RATE
BUS_RATIO = 2.0
_KNEE_DB = 6.0
BUS_THRESHOLD_LUFS = REFERENCE_LUFS + 4.0
_BUS_ATTACK = 1.0 - math.exp(-_PERIOD_S / 0.03)
_BUS_RELEASE = 1.0 - math.exp(-_PERIOD_S / 0.18)
_BUS_DETECTOR = 1.0 - math.exp(-_PERIOD_S / 0.01)

VOICE_HZ, VOICE_DAMPING = 2000.0, 1.6
"""The band that makes speech intelligible, about 1 … 4 kHz, and 1 / Q."""
_LEAST_CUT_DB, _MOST_CUT_DB, _FULL_CUT_DB = 4.0, 9.0, -24.0
"""The cut is least in quiet music, and reaches its most where the band is at _FULL_CUT_DB, full scale."""
_VOICE_GLIDE = 1.0 - math.exp(-_PERIOD_S / 0.08)


@kernel
def compress_bus(master: np.void, power: float) -> None:
    """At a control point, set the gain of the 2:1 bus compressor for the period that follows.

    `power` is the K-weighted mean square of the period before. The threshold is a loudness behind the follower, so
    that a quiet style is held together as a loud one is; attack 30 ms, which lets a drum's stroke through.
    """
    master.bus_db_before = master.bus_db
    master.bus_level += _BUS_DETECTOR * (power - master.bus_level)
    over_db = 10.0 * math.log10(master.bus_level + 1e-12) - 0.691 + master.gain_db - BUS_THRESHOLD_LUFS
    wanted_db = 0.0
    if over_db > 0.5 * _KNEE_DB:
        wanted_db = (1.0 / BUS_RATIO - 1.0) * over_db
    elif over_db > -0.5 * _KNEE_DB:
        wanted_db = (1.0 / BUS_RATIO - 1.0) * (over_db + 0.5 * _KNEE_DB) ** 2 / (2.0 * _KNEE_DB)
    share = _BUS_ATTACK if wanted_db < master.bus_db else _BUS_RELEASE
    master.bus_db += share * (wanted_db - master.bus_db)


@kernel
def aim_voice_room(master: np.void, amount: float) -> None:
    """At a control point, set how much of the voice's band is taken off by the next; `amount` 0 … 1."""
    master.voice_cut_before = master.voice_cut
    master.voice_level += _VOICE_GLIDE * (master.voice_power / CONTROL_FRAMES - master.voice_level)
    master.voice_power = 0.0
    level_db = 10.0 * math.log10(master.voice_level + 1e-12)
    share = min(1.0, max(0.0, 1.0 + (level_db - _FULL_CUT_DB) / 24.0))
    cut_db = _LEAST_CUT_DB + (_MOST_CUT_DB - _LEAST_CUT_DB) * share
    master.voice_cut = amount * (1.0 - 10.0 ** (-cut_db / 20))
    if amount == 0.0 and master.voice_cut_before == 0.0:
        master.voice_band[:] = 0.0


@kernel
def leave_room_for_voice(master: np.void, mix: np.ndarray, into: int, num_frames: int) -> None:
    """Take the voice's band off the middle, where a voice stands, in place. The band is that of filters.py."""
    before, after = master.voice_cut_before, master.voice_cut
    if before == 0.0 and after == 0.0:
        return
    slope = (after - before) / CONTROL_FRAMES
    g = math.tan(0.5 * TAU * VOICE_HZ / SAMPLE_RATE)
    a1 = 1.0 / (1.0 + g * (g + VOICE_DAMPING))
    p1, p2, p3 = 2.0 * a1 - 1.0, 2.0 * g * a1, 1.0 - 2.0 * g * g * a1
    one, two, power = master.voice_band[0], master.voice_band[1], master.voice_power
    left, right = mix[0, :num_frames], mix[1, :num_frames]
    for i in range(num_frames):
        middle = 0.5 * (left[i] + right[i])
        next_one, next_two = p1 * one + p2 * (middle - two), p2 * one + p3 * (two - middle) + middle
        band = 0.5 * VOICE_DAMPING * (one + next_one)
        one, two = next_one, next_two
        power += band * band
        cut = (before + slope * (into + i)) * band
        left[i] -= cut
        right[i] -= cut
    master.voice_band[0], master.voice_band[1], master.voice_power = one, two, power
