"""Struck bodies as decaying sines. In: a modal patch; out: samples in work rows. Remembers in the voice's modes."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import TAU


@kernel
def add_modes(work: np.ndarray, num_frames: int, modes: np.ndarray, num_modes: int, lean: float) -> None:
    """Add decaying sines to `work`; `modes` [MAX_PARTIALS, 4] holds y[n-1], y[n-2] and both coefficients.

    y[n] = 2 r cos(ω) y[n-1] - r² y[n-2], four resonators at a time so that their recurrences overlap. Even and odd
    partials lean to different sides by `lean`, as they do in front of a soundboard.
    """
    left, right = work[0, :num_frames], work[1, :num_frames]
    for first in range(0, num_modes, 4):
        a, b, c, d = first, first + 1, first + 2, first + 3
        a1, a2, pa, qa = modes[a, 0], modes[a, 1], modes[a, 2], modes[a, 3]
        b1, b2, pb, qb = modes[b, 0], modes[b, 1], modes[b, 2], modes[b, 3]
        c1, c2, pc, qc = modes[c, 0], modes[c, 1], modes[c, 2], modes[c, 3]
        d1, d2, pd, qd = modes[d, 0], modes[d, 1], modes[d, 2], modes[d, 3]
        for i in range(num_frames):
            a1, a2 = pa * a1 - qa * a2, a1
            b1, b2 = pb * b1 - qb * b2, b1
            c1, c2 = pc * c1 - qc * c2, c1
            d1, d2 = pd * d1 - qd * d2, d1
            even, odd = a2 + c2, b2 + d2
            left[i] += (1.0 + lean) * even + (1.0 - lean) * odd
            right[i] += (1.0 - lean) * even + (1.0 + lean) * odd
        modes[a, 0], modes[a, 1] = a1, a2
        modes[b, 0], modes[b, 1] = b1, b2
        modes[c, 0], modes[c, 1] = c1, c2
        modes[d, 0], modes[d, 1] = d1, d2


@kernel
def count_sounding_modes(modes: np.ndarray, num_modes: int) -> int:
    """`num_modes` without those groups of four at the end that have died away."""
    while num_modes > 4:
        first, height = (num_modes - 1) // 4 * 4, 0.0
        for k in range(first, first + 4):
            height += abs(modes[k, 0]) + abs(modes[k, 1])
        if height > 1e-5:
            break
        num_modes = first
    return num_modes


@kernel
def strike_modes(
    modes: np.ndarray,
    num_modes: int,
    ratios: np.ndarray,
    amplitudes: np.ndarray,
    hz: float,
    inharmonicity: float,
    ring_s: float,
    ring_damping: float,
    tilt: float,
) -> None:
    """Set `modes` ringing from zero, as sines beginning at phase 0.

    Partial k sounds at hz·ratio·sqrt(1 + inharmonicity·ratio²) (Fletcher's stiff string), dies by 60 dB in
    ring_s / (1 + ring_damping·(ratio - 1)) and has amplitude amplitudes[k]·ratio^-tilt; above 18 kHz it is left out.
    """
    modes[:] = 0.0
    for k in range(num_modes):
        ratio = ratios[k]
        partial_hz = hz * ratio * math.sqrt(1.0 + inharmonicity * ratio * ratio)
        if partial_hz > 18_000.0:
            continue
        omega = TAU * partial_hz / SAMPLE_RATE
        decay_s = ring_s / (1.0 + ring_damping * max(0.0, ratio - 1.0))
        radius = math.exp(-6.9078 / (decay_s * SAMPLE_RATE))
        modes[k, 1] = -amplitudes[k] * max(ratio, 0.5) ** -tilt * math.sin(omega) / radius
        modes[k, 2] = 2.0 * radius * math.cos(omega)
        modes[k, 3] = radius * radius
