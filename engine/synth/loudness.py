"""The loudness follower. In: the mix; out: the gain that brings it to a level. Remembers in the MASTER record.

Called inside the slot kernel. It hears what a loudness meter would: K-weighted, gated, over the last three seconds.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.state import CONTROL_FRAMES, METER_STEPS

REFERENCE_LUFS = -16.0
MIN_GAIN_DB, MAX_GAIN_DB = -14.0, 18.0
STEP_PERIODS = SAMPLE_RATE // 10 // CONTROL_FRAMES
BLOCK_STEPS = 4
"""A block of the meter is 400 ms, and a new one begins every 100 ms (BS.1770-4)."""
_GATE = 0.1
_GLIDE = 1.0 - math.exp(-CONTROL_FRAMES / (0.3 * SAMPLE_RATE))
_SILENCE_LUFS = -50.0


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
def _gated_power(master: np.void, length: int) -> float:
    """Mean power of the blocks in the last `length` steps that are above the gate: -10 LU of all blocks' mean."""
    total, gate, count = 0.0, 0.0, 0
    for _ in range(2):
        total, count = 0.0, 0
        for first in range(max(1, length - BLOCK_STEPS + 1)):
            power = 0.0
            for step in range(min(BLOCK_STEPS, length)):
                power += master.steps[(master.num_steps - 1 - first - step) % METER_STEPS]
            power /= min(BLOCK_STEPS, length)
            if power >= gate:
                total += power
                count += 1
        gate = _GATE * total / count
    return total / count


@kernel
def follow_loudness(master: np.void, power: float) -> None:
    """At a control point, move the follower's gain towards the one that would bring the music to REFERENCE_LUFS.

    `power` is the K-weighted mean square of the period before as it was heard but for that gain. The target itself is
    added afterwards, so that a new target is heard at once. Stands still in silence; never outside MIN_GAIN_DB …
    MAX_GAIN_DB.
    """
    master.gain_db_before = master.gain_db
    master.step_power += power
    master.step_periods += 1
    if master.step_periods == STEP_PERIODS:
        mean = master.step_power / STEP_PERIODS
        master.step_power, master.step_periods = 0.0, 0
        if 10.0 * math.log10(mean + 1e-12) - 0.691 > _SILENCE_LUFS:
            master.steps[master.num_steps % METER_STEPS] = mean
            master.num_steps += 1
            heard = _gated_power(master, min(master.num_steps, METER_STEPS))
            master.measured_lufs = min(10.0 * math.log10(heard) - 0.691, -1e-3)
    if master.measured_lufs < 0.0:
        wanted = min(max(REFERENCE_LUFS - master.measured_lufs, MIN_GAIN_DB), MAX_GAIN_DB)
        master.gain_db += (wanted - master.gain_db) * _GLIDE
