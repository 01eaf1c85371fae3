"""Sound sources as scalar kernels. In: a phase or a filter's memory; out: samples added to a scratch row.

Remembers nothing itself: every kernel returns or updates the state that it was handed. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np

from engine.synth.compile import kernel
from engine.synth.sources.wavetables import WAVE_FRAMES

TAU = 2.0 * math.pi
CENT = math.log(2.0) / 1200.0
"""Of small detunings the exponential is taken as straight."""
LOG_2 = math.log(2.0)


@kernel
def sine(phase: float) -> float:
    """sin(2π·phase) for phase in 0 … 1, odd Taylor polynomial of degree 9 on a quarter wave, error below 4e-6."""
    x = 0.5 - phase
    quarter = TAU * (0.25 - abs(abs(x) - 0.25))
    square = quarter * quarter
    value = quarter * (1.0 - square * (1 / 6 - square * (1 / 120 - square * (1 / 5040 - square * (1 / 362880)))))
    return math.copysign(value, x)


@kernel
def log2(x: float) -> float:
    """The logarithm that a card's kernels have no name for."""
    return math.log(x) / LOG_2


@kernel
def ease(seconds: float, length_s: float) -> float:
    """From 1 to 0 within `length_s`, without corners."""
    x = min(1.0, max(0.0, seconds / max(length_s, 1e-3)))
    return 1.0 - x * x * (3.0 - 2.0 * x)


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


TURN = 2**32
"""Phases run in whole numbers of this part of a cycle, so that a frame's phase is exact however a block is cut."""
_FRACTION_BITS = 21
assert TURN == WAVE_FRAMES << _FRACTION_BITS
_FRACTION = 2.0**-_FRACTION_BITS


@kernel
def whole(turns: float) -> int:
    """A phase or an increment as an integer."""
    return int(math.floor(turns * TURN + 0.5))


@kernel
def add_sine(work: np.ndarray, num_frames: int, phase: int, increment: int, left: float, right: float) -> int:
    """Add a sine to `work` [≥ 2, ≥ num_frames] with gains `left`, `right`; returns the phase after it."""
    row_left, row_right = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        value = sine(((phase + increment * i) & (TURN - 1)) * (1.0 / TURN))
        row_left[i] += left * value
        row_right[i] += right * value
    return (phase + increment * num_frames) & (TURN - 1)


@kernel
def add_wave(
    work: np.ndarray, num_frames: int, table: np.ndarray, phase: int, increment: int, left: float, right: float
) -> int:
    """Add a band-limited wave, `table` [WAVE_FRAMES + 1], likewise."""
    row_left, row_right = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        at = (phase >> _FRACTION_BITS) & (WAVE_FRAMES - 1)
        value = table[at]
        value += (phase & ((1 << _FRACTION_BITS) - 1)) * _FRACTION * (table[at + 1] - value)
        row_left[i] += left * value
        row_right[i] += right * value
        phase = (phase + increment) & (TURN - 1)
    return phase


@kernel
def add_wave_pair(
    work: np.ndarray, num_frames: int, table: np.ndarray, first: int, first_step: int, second: int, second_step: int,
    gains: tuple[float, float, float, float],
) -> None:  # fmt: skip
    """Two readers of one wave at once, half the cost; `gains` are the first's left and right, then the second's.

    A pulse is a saw and another, turned over and later by the pulse's width: it carries no DC.
    """
    row_left, row_right = work[0, :num_frames], work[1, :num_frames]
    first_left, first_right, second_left, second_right = gains
    for i in range(num_frames):
        # The mask tells the compiler that it is not negative.
        at = (first >> _FRACTION_BITS) & (WAVE_FRAMES - 1)
        one = table[at]
        one += (first & ((1 << _FRACTION_BITS) - 1)) * _FRACTION * (table[at + 1] - one)
        at = (second >> _FRACTION_BITS) & (WAVE_FRAMES - 1)
        two = table[at]
        two += (second & ((1 << _FRACTION_BITS) - 1)) * _FRACTION * (table[at + 1] - two)
        row_left[i] += first_left * one + second_left * two
        row_right[i] += first_right * one + second_right * two
        first = (first + first_step) & (TURN - 1)
        second = (second + second_step) & (TURN - 1)
