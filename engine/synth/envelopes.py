"""The shape of envelopes. In: times; out: shares of the way to a target. Remembers nothing.

Attacks aim above their end, so that they arrive; decays and releases are exponential, their times to -60 dB.
"""

from __future__ import annotations

import math

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel

FREE, ATTACK, DECAY, RELEASE = range(4)
ATTACK_OVERSHOOT = 1.3
"""Attacks aim at this and end at 1."""


@kernel
def approach(seconds: float, num_frames: int) -> float:
    """Share of the way to its target that a value goes in `num_frames`, when -60 dB takes `seconds`."""
    return 1.0 - math.exp(-6.9078 * num_frames / (seconds * SAMPLE_RATE))


@kernel
def attack_share(seconds: float, num_frames: int) -> float:
    """The same for an attack, that aims above 1 and passes 1 after `seconds`."""
    reach = math.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1.0))
    return 1.0 - math.exp(-reach * num_frames / (seconds * SAMPLE_RATE))
