"""The filter that every voice goes through. In: work rows; out: the same rows. Remembers in VOICE.memory."""

from __future__ import annotations

import math

import numpy as np

from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES


@kernel
def coefficients(g: float, k: float) -> tuple[float, float, float]:
    """p1, p2, p3 of the state-variable filter: l1' = p1·l1 - p2·l2 + p2·x, l2' = p2·l1 + p3·l2 + (1 - p3)·x."""
    a1 = 1.0 / (1.0 + g * (g + k))
    return 2.0 * a1 - 1.0, 2.0 * g * a1, 1.0 - 2.0 * g * g * a1


@kernel
def _is_mono(voice: Record, left: np.ndarray, right: np.ndarray) -> bool:
    """Are both channels the same, sample for sample, and was the filter's memory of them?"""
    different = (voice.memory[0] != voice.memory[2]) + (voice.memory[1] != voice.memory[3])
    for i in range(len(left)):
        different += left[i] != right[i]
    return different == 0


@kernel
def apply_filter(voice: Record, patch: Record, work: np.ndarray, into: int, num_frames: int) -> None:
    """Filter both rows in place, then drive them; the last control point was `into` frames ago.

    Trapezoidal state-variable filter: Zavalishin, "The Art of VA Filter Design", ch. 4, with both integrators written
    in terms of the state alone, both channels in one loop, and coefficients on straight lines between control points.
    The integrators' inputs, band and low, are the means of the state before and after. Where both rows are the same,
    one is worked out.
    """
    left, right = work[0, :num_frames], work[1, :num_frames]
    k = 2.0 - 2.0 * patch.resonance
    low, band, high = 0.5, 0.0, 0.0
    if patch.filter == 1:
        low, band = 0.0, 0.5 * k
    elif patch.filter == 2:
        low, band, high = -0.5, -0.5 * k, 1.0
    here, there = coefficients(voice.g, k), coefficients(voice.g_next, k)
    d1, d2, d3 = (
        (there[0] - here[0]) / CONTROL_FRAMES, (there[1] - here[1]) / CONTROL_FRAMES,
        (there[2] - here[2]) / CONTROL_FRAMES,
    )  # fmt: skip
    l1, l2, r1, r2 = voice.memory[0], voice.memory[1], voice.memory[2], voice.memory[3]
    # Alternating, or the band's integrator would sink into denormal numbers behind a constant.
    tiny = 1e-20 if into % 2 else -1e-20
    time = float(into)
    is_mono = _is_mono(voice, left, right)
    if is_mono:
        for i in range(num_frames):
            tiny = -tiny
            p1, p2, p3 = here[0] + d1 * time, here[1] + d2 * time, here[2] + d3 * time
            x = left[i] + tiny
            m1, m2 = p2 * x + p1 * l1 - p2 * l2, (x - p3 * x) + p2 * l1 + p3 * l2
            left[i] = low * (l2 + m2) + band * (l1 + m1) + high * x
            l1, l2, time = m1, m2, time + 1.0
        r1, r2 = l1, l2
    else:
        for i in range(num_frames):
            tiny = -tiny
            p1, p2, p3 = here[0] + d1 * time, here[1] + d2 * time, here[2] + d3 * time
            x, y = left[i] + tiny, right[i] + tiny
            m1, m2 = p2 * x + p1 * l1 - p2 * l2, (x - p3 * x) + p2 * l1 + p3 * l2
            n1, n2 = p2 * y + p1 * r1 - p2 * r2, (y - p3 * y) + p2 * r1 + p3 * r2
            left[i] = low * (l2 + m2) + band * (l1 + m1) + high * x
            right[i] = low * (r2 + n2) + band * (r1 + n1) + high * y
            l1, l2, r1, r2, time = m1, m2, n1, n2, time + 1.0
    voice.memory[0], voice.memory[1], voice.memory[2], voice.memory[3] = l1, l2, r1, r2
    if patch.drive > 0.0:
        push = 1.0 + patch.drive
        for channel in range(1 if is_mono else 2):
            row = work[channel, :num_frames]
            for i in range(num_frames):
                value = push * row[i]
                row[i] = value / math.sqrt(1.0 + value * value)
    if is_mono:
        for i in range(num_frames):
            right[i] = left[i]
