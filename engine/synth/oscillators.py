"""Sound sources as scalar kernels. In: a phase or a filter's memory; out: samples added to a scratch row.

Remembers nothing itself: every kernel returns or updates the state it was handed. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel

TAU = 2.0 * math.pi
CENT = math.log(2.0) / 1200.0
"""Of small detunings the exponential is taken as straight."""
LOG_2 = math.log(2.0)
ADDITIVE_INCREMENT = 2000.0 / SAMPLE_RATE
"""Above this frequency saws are summed from their harmonics, of which there are ten at most."""
_INVERSE = np.concatenate([[0.0], 1.0 / np.arange(1, 32)])


@kernel
def sine(phase: float) -> float:
    """sin(2π·phase) for phase in 0 … 1, odd Taylor polynomial of degree 9 on a quarter wave, error below 4e-6."""
    x = 0.5 - phase
    quarter = TAU * (0.25 - abs(abs(x) - 0.25))
    square = quarter * quarter
    value = quarter * (1.0 - square * (1 / 6 - square * (1 / 120 - square * (1 / 5040 - square * (1 / 362880)))))
    return math.copysign(value, x)


@kernel
def hash32(seed: int, index: int) -> int:
    """A well-mixed 32-bit number of two integers (Wellons' lowbias32 on a combination of both)."""
    x = (seed ^ (seed >> 32) ^ (index * 0x9E3779B9)) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


@kernel
def next_noise(state: int) -> int:
    """Marsaglia's xorshift32; `state` is never 0."""
    state ^= (state << 13) & 0xFFFFFFFF
    state ^= state >> 17
    return state ^ ((state << 5) & 0xFFFFFFFF)


NOISE_SCALE = 2.0 / 0xFFFFFFFF


@kernel
def white_noise(seed: int, frame: int, row: np.ndarray) -> None:
    """Fill `row` with the white noise, -1 … 1, that belongs to the frames from `frame` on."""
    for i in range(len(row)):
        row[i] = hash32(seed, frame + i) * NOISE_SCALE - 1.0


@kernel
def step_residual(x: float) -> float:
    """Band-limited unit step minus the ideal one, `x` samples after the step, -2 … 2.

    Integrated cubic B-spline: Välimäki, Pekonen, Nam, "Perceptually informed synthesis of bandlimited classical
    waveforms using integrated polynomial interpolation", JASA 131 (2012), table II.
    """
    if x < -1.0:
        u = x + 2.0
        return u * u * u * u / 24
    if x < 0.0:
        u = x + 1.0
        return 1 / 24 + u * (1 / 6 + u * (1 / 4 + u * (1 / 6 - u / 8)))
    if x < 1.0:
        return -0.5 + x * (2 / 3 + x * x * (-1 / 3 + x / 8))
    u = x - 1.0
    return -1 / 24 + u * (1 / 6 + u * (-1 / 4 + u * (1 / 6 - u / 24)))


@kernel
def saw(phase: float, increment: float) -> float:
    """Rising band-limited saw, -1 … 1; `increment` is frequency over sample rate, at most 0.25."""
    centred = phase - 0.5
    value = centred + centred
    if abs(centred) > 0.5 - 2.0 * increment:
        value -= 2.0 * step_residual((phase if centred < 0.0 else phase - 1.0) / increment)
    return value


@kernel
def additive_saw(phase: float, num_harmonics: int) -> float:
    """The same saw as a sum of sines, sin(kx) by Chebyshev's recurrence: free of aliases where harmonics are few."""
    older, now = 0.0, sine(phase)
    double_cosine = 2.0 * sine(phase + 0.25 if phase < 0.75 else phase - 0.75)
    total = now
    for k in range(2, num_harmonics + 1):
        older, now = now, double_cosine * now - older
        total += now * _INVERSE[k]
    return total * (-2.0 / math.pi)


@kernel
def count_harmonics(increment: float) -> int:
    """How many harmonics `additive_saw` is to have; 0 where the band-limited step folds too little to be heard."""
    return int(0.42 / increment) if increment > ADDITIVE_INCREMENT else 0


SINE, TRIANGLE, SAW, PULSE = range(4)


@kernel
def add_wave(
    work: np.ndarray, num_frames: int, wave: int, phase: float, increment: float, num_harmonics: int, width: float,
    left: float, right: float,
) -> float:  # fmt: skip
    """Add a wave to `work` [≥ 2, ≥ num_frames] with gains `left`, `right`; returns the phase after it.

    `width` is the pulse's duty, 0 … 1. The pulse is the difference of two saws, so it carries no DC. `num_harmonics`
    comes from `count_harmonics` of the note's own frequency, so that vibrato does not change it.
    """
    row_left, row_right = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        if wave >= SAW:
            value = saw(phase, increment) if num_harmonics == 0 else additive_saw(phase, num_harmonics)
            if wave == PULSE:
                second = phase + width
                if second >= 1.0:
                    second -= 1.0
                value -= saw(second, increment) if num_harmonics == 0 else additive_saw(second, num_harmonics)
        elif wave == SINE:
            value = sine(phase)
        else:
            value = 1.0 - 4.0 * abs(phase - 0.5)
        row_left[i] += left * value
        row_right[i] += right * value
        phase += increment
        if phase >= 1.0:
            phase -= 1.0
    return phase


@kernel
def add_saw_pair(
    work: np.ndarray, num_frames: int, phases: np.ndarray, first_increment: float, second_increment: float,
    near: float, far: float,
) -> None:  # fmt: skip
    """Two saws at once, so that their phases overlap: one at `near` left and `far` right, the other mirrored.

    Advances `phases` [2].
    """
    row_left, row_right = work[0, :num_frames], work[1, :num_frames]
    first, second = phases[0], phases[1]
    for i in range(num_frames):
        one, two = saw(first, first_increment), saw(second, second_increment)
        row_left[i] += near * one + far * two
        row_right[i] += far * one + near * two
        first += first_increment
        if first >= 1.0:
            first -= 1.0
        second += second_increment
        if second >= 1.0:
            second -= 1.0
    phases[0], phases[1] = first, second
